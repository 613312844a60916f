/** Makes a repeated request answer the same. The digest tells it from another request under the same id. */
export interface RequestKey {
  readonly requestId: string;
  readonly digest: Uint8Array;
}
