// Live picture of an enrollment; htmx asks for the instructions.

import { LiveConnection } from "./kiosk/live.js";
import { Picture } from "./kiosk/picture.js";

const picture = new Picture(document.getElementById("picture"));

async function show(fields, jpeg) {
  if (fields.has_picture) await picture.show(jpeg, []);
  else picture.clear();
}

new LiveConnection("/live/view", show, () => picture.clear());
