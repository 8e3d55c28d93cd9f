/**
 * How a call of a client ends, once: with a value or an error. The client side works with these;
 * promises are made of them at the public edge alone, so that what is behind it runs in one turn,
 * in the simulator too. Pure.
 */
export interface Settle<Value> {
  readonly resolve: (value: Value) => void
  readonly reject: (error: unknown) => void
}

/** What `call` throws at once rejects as well. */
export const promised = <Value>(call: (settle: Settle<Value>) => void): Promise<Value> =>
  new Promise((resolve, reject) => call({ resolve, reject }))
