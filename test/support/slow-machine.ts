/**
 * A state machine that writes its snapshot over several turns of the event loop, as a user's may,
 * and refuses to be given anything meanwhile. Its state is how many entries it was given.
 */
import type { StateMachine } from '../../src/base/state-machine.ts'

export function createStateMachine(): StateMachine {
  let count = 0
  let isWriting = false
  return {
    apply(batch) {
      if (isWriting) throw new Error('applied while it writes')
      count += batch.count
    },
    query: () => Buffer.from(String(count)),
    async snapshot(sink) {
      isWriting = true
      for (const digit of String(count)) {
        await new Promise((resolve) => setTimeout(resolve, 2))
        sink.write(Buffer.from(digit))
      }
      isWriting = false
    },
    restore(source) {
      let text = ''
      for (let digit = source.read(); digit !== null; digit = source.read()) {
        text += Buffer.from(digit).toString()
      }
      count = Number(text)
      return Promise.resolve()
    },
    hash: () => String(count),
  }
}
