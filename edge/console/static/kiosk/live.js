// Connection to the server: one message at a time, each acknowledged when it is drawn.

const RETRY_MS = 1000;
const SILENCE_MS = 5000; // the server sends at least once a second

// Return the fields and the JPEG, or null, of a message: length, JSON, JPEG.
export function parseMessage(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  const jpeg = buffer.byteLength > 4 + length ? buffer.slice(4 + length) : null;
  return { fields: JSON.parse(text), jpeg };
}

export class LiveConnection {
  // `show(fields, jpeg)` draws a message; `lost()` is called when the connection is lost.
  constructor(path, show, lost) {
    this.address = new URL(path, location.href.replace(/^http/, "ws"));
    this.show = show;
    this.lost = lost;
    this.connect();
  }

  connect() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (message) => this.take(socket, message.data);
    socket.onclose = () => {
      clearTimeout(this.silence);
      this.lost();
      setTimeout(() => this.connect(), RETRY_MS);
    };
    this.expect(socket);
  }

  expect(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => socket.close(), SILENCE_MS);
  }

  async take(socket, buffer) {
    this.expect(socket);
    try {
      const { fields, jpeg } = parseMessage(buffer);
      await this.show(fields, jpeg);
      if (socket.readyState === WebSocket.OPEN) socket.send("+");
    } catch (error) {
      console.error(error);
      socket.close();
    }
  }
}
