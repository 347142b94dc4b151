// Picture of the camera with the boxes of faces, drawn on a canvas.

const CORNER = 0.22; // length of a corner of the box, of its shorter side
const LINES = [["#000", 0.024], ["#fff", 0.013]]; // colour and width, of the picture's height

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.bitmap = null;
  }

  // Draw a JPEG, or the one before, and faces: `box` has left, top, right and bottom as parts of
  // it, `track` is written at the box if there are several faces.
  async show(jpeg, faces) {
    if (jpeg) {
      const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
      this.bitmap?.close();
      this.bitmap = bitmap;
    }
    if (!this.bitmap) return;
    const { width, height } = this.bitmap;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    this.context.drawImage(this.bitmap, 0, 0);
    for (const { box, track } of faces) {
      this.drawBox(box);
      if (faces.length > 1) this.drawLabel(box, track);
    }
  }

  drawBox([left, top, right, bottom]) {
    const { width, height } = this.canvas;
    const [x0, y0, x1, y1] = [left * width, top * height, right * width, bottom * height];
    const side = CORNER * Math.min(x1 - x0, y1 - y0);
    const path = new Path2D();
    for (const [x, y, dx, dy] of [[x0, y0, 1, 1], [x1, y0, -1, 1], [x1, y1, -1, -1], [x0, y1, 1, -1]]) {
      path.moveTo(x + dx * side, y);
      path.lineTo(x, y);
      path.lineTo(x, y + dy * side);
    }
    this.context.lineCap = this.context.lineJoin = "round";
    for (const [colour, share] of LINES) {
      this.context.strokeStyle = colour;
      this.context.lineWidth = share * height;
      this.context.stroke(path);
    }
  }

  drawLabel([left, top], label) {
    const { width, height } = this.canvas;
    this.context.font = `700 ${0.05 * height}px system-ui, sans-serif`;
    this.context.lineWidth = 0.012 * height;
    this.context.strokeStyle = "#000";
    this.context.fillStyle = "#fff";
    for (const draw of ["strokeText", "fillText"])
      this.context[draw](label, left * width, (top - 0.02) * height);
  }

  clear() {
    this.bitmap?.close();
    this.bitmap = null;
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }
}
