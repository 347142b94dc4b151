// Sound cues by WebAudio, without files.

const VOLUME = 0.25;
// Tones of each cue: frequency in Hz, start and length in seconds.
const CUES = {
  granted: [[660, 0, 0.14], [880, 0.15, 0.28]],
  refused: [[330, 0, 0.18], [247, 0.22, 0.34]],
  waiting: [[784, 0, 0.12], [784, 0.2, 0.12]],
};
const STORED = "kiosk-sound";

export class Sound {
  constructor() {
    this.isOn = localStorage.getItem(STORED) !== "off";
  }

  toggle() {
    this.isOn = !this.isOn;
    localStorage.setItem(STORED, this.isOn ? "on" : "off");
    if (this.isOn) this.play("waiting");
  }

  // Play the cue of a state of the screen, if it has one.
  play(state) {
    if (!this.isOn || !(state in CUES)) return;
    this.audio ??= new AudioContext();
    this.audio.resume(); // a browser that is no kiosk allows it after a touch
    for (const [frequency, start, length] of CUES[state]) this.tone(frequency, start, length);
  }

  tone(frequency, start, length) {
    const begin = this.audio.currentTime + start;
    const gain = new GainNode(this.audio, { gain: 0 });
    gain.gain.setTargetAtTime(VOLUME, begin, 0.01);
    gain.gain.setTargetAtTime(0, begin + length, 0.03);
    const tone = new OscillatorNode(this.audio, { frequency });
    tone.connect(gain).connect(this.audio.destination);
    tone.start(begin);
    tone.stop(begin + length + 0.3);
  }
}
