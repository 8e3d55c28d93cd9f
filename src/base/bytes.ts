/** Whether something is bytes, whatever realm it was made in (a test runner may have its own). */
export const isBytes = (value: unknown): value is Uint8Array =>
  value instanceof Uint8Array || Object.prototype.toString.call(value) === '[object Uint8Array]'
