// Page of the terminal's own screen.

import { LiveConnection } from "./live.js";
import { Picture } from "./picture.js";
import { Screen } from "./screen.js";
import { Sound } from "./sound.js";
import { Texts } from "./texts.js";

const LOST_MS = 1500; // a short interruption is not shown
const RESET_MS = 30000; // idle time after which the language is the configured one again
const RETRY_MS = 2000;
const LOST = {
  state: "disconnected",
  title: "Out of service",
  text: "Use another entrance or ask the staff",
  box: null,
  progress: 0,
  seconds_left: null,
  lock: "Door state unknown",
  is_locked: null,
};

const sound = new Sound();
const picture = new Picture(document.getElementById("picture"));

function buildLanguages(texts, screen) {
  const buttons = texts.languages.map(([code, name]) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: name, lang: code });
    button.onclick = () => choose(code);
    return button;
  });
  const choose = (code) => {
    texts.choose(code);
    for (const button of buttons) button.setAttribute("aria-pressed", button.lang === code);
    document.getElementById("languages").setAttribute("aria-label", texts.text("Language"));
    showSound(texts);
    screen.update();
  };
  document.getElementById("languages").replaceChildren(...buttons);
  choose(texts.code);
  return choose;
}

function showSound(texts) {
  const button = document.getElementById("sound");
  button.textContent = texts.text(sound.isOn ? "Sound on" : "Sound off");
}

function run(texts) {
  const screen = new Screen(texts);
  const choose = buildLanguages(texts, screen);
  let lost = 0;
  let idle = 0;

  const show = async (fields, jpeg) => {
    if (screen.state === LOST.state) location.reload(); // the server may be of another version
    clearTimeout(lost);
    lost = 0;
    if (screen.show(fields)) {
      sound.play(fields.state);
      clearTimeout(idle);
      if (fields.state === "idle") idle = setTimeout(() => choose(texts.preset), RESET_MS);
    }
    if (fields.has_picture) await picture.show(jpeg, fields.box ? [fields] : []);
    else picture.clear();
  };
  const lose = () => {
    lost ||= setTimeout(() => {
      picture.clear();
      screen.show(LOST);
    }, LOST_MS);
  };

  document.getElementById("sound").onclick = () => {
    sound.toggle();
    showSound(texts);
  };
  setInterval(() => screen.tick(), 1000);
  new LiveConnection("/kiosk/live", show, lose);
}

async function start() {
  try {
    run(await Texts.load());
  } catch (error) {
    console.error(error);
    setTimeout(start, RETRY_MS);
  }
}

start();
