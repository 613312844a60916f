/** A response that is bytes already: the transport sends it as it is, to as many as it is given for. */
export class Encoded {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}
