// Texts of the page in all languages, from the server's catalogues.

export class Texts {
  constructor(catalogues) {
    this.catalogues = catalogues.languages;
    this.preset = catalogues.default;
    this.code = this.preset;
  }

  static async load() {
    const answer = await fetch("/kiosk/texts.json");
    if (!answer.ok) throw new Error(`texts: ${answer.status}`);
    return new Texts(await answer.json());
  }

  // Languages as pairs of code and own name.
  get languages() {
    return Object.entries(this.catalogues).map(([code, { name }]) => [code, name]);
  }

  choose(code) {
    this.code = code;
  }

  // Return the text of an English message; %(name)s is replaced by its value.
  text(message, values = {}) {
    const found = this.catalogues[this.code].texts[message] ?? message;
    return found.replace(/%\((\w+)\)s/g, (_, name) => values[name]);
  }

  number(value) {
    return new Intl.NumberFormat(this.code).format(value);
  }

  time(moment) {
    return moment.toLocaleTimeString(this.code, { hour: "2-digit", minute: "2-digit" });
  }
}
