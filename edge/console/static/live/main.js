// Live page of operators.

import { LiveConnection } from "../kiosk/live.js";
import { Picture } from "../kiosk/picture.js";

const picture = new Picture(document.getElementById("picture"));
const camera = document.getElementById("camera");
const door = document.getElementById("door");
const faces = document.getElementById("faces");

const set = (element, text) => {
  if (element.textContent !== text) element.textContent = text; // screen readers speak changes
};

function row({ track, reason, progress }) {
  const line = document.createElement("tr");
  for (const text of [track, reason, progress]) line.insertCell().textContent = text;
  return line;
}

async function show(fields, jpeg) {
  set(camera, fields.camera);
  set(door, fields.door);
  faces.replaceChildren(...fields.faces.map(row));
  if (fields.has_picture) await picture.show(jpeg, fields.faces);
  else picture.clear();
}

function lose() {
  set(camera, camera.dataset.lost);
  set(door, "");
  faces.replaceChildren();
  picture.clear();
}

new LiveConnection("/live/view", show, lose);
