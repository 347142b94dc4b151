// Texts of the screen: one instruction at a time.

const set = (element, text) => {
  if (element.textContent !== text) element.textContent = text; // screen readers speak changes
};

export class Screen {
  constructor(texts) {
    this.texts = texts;
    this.fields = null;
    for (const id of ["title", "text", "time-left", "progress", "lock", "clock", "picture"]) {
      this[id] = document.getElementById(id);
    }
  }

  get state() {
    return this.fields?.state ?? "starting";
  }

  // Show the fields of a message; return true if the state is another one.
  show(fields) {
    const isNew = fields.state !== this.state;
    this.fields = fields;
    this.update();
    return isNew;
  }

  // Write all texts in the chosen language.
  update() {
    const { texts, fields } = this;
    document.documentElement.lang = texts.code;
    this.picture.setAttribute("aria-label", texts.text("Picture of the camera"));
    this.progress.setAttribute("aria-label", texts.text("Progress"));
    this.tick();
    if (!fields) return;
    document.documentElement.dataset.state = fields.state;
    set(this.title, texts.text(fields.title));
    set(this.text, texts.text(fields.text));
    set(this.lock, texts.text(fields.lock));
    this.lock.dataset.locked = fields.is_locked;
    this.progress.value = fields.progress;
    const seconds = fields.seconds_left;
    this["time-left"].hidden = seconds === null;
    if (seconds !== null) {
      const left = texts.number(Math.max(0, Math.ceil(seconds)));
      set(this["time-left"], texts.text("%(seconds)s seconds left", { seconds: left }));
    }
  }

  tick() {
    set(this.clock, this.texts.time(new Date()));
  }
}
