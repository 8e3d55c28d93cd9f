/**
 * The key-value state machine of production, one a node's life, watched from outside: what it is
 * given, what it answers and what it becomes is compared with the chronicle and with every other
 * node (I10, I19, I21). Entries carry the number of their operation before the command.
 */
import type { ApplyBatch, StateMachine } from '../base/state-machine.ts'
import { createKeyValueStateMachine } from '../state-machines/key-value.ts'
import { type Chronicle, OPERATION_SIZE_BYTES } from './chronicle.ts'
import { demand } from './invariants.ts'

export interface MachineWatch {
  readonly chronicle: Chronicle
  /** By index: what the first node to get there had. */
  readonly hashes: Map<number, string>
}

/** @param start log index behind which it begins: it is restored from a snapshot of that */
export function createWatchedMachine(watch: MachineWatch, start: number): StateMachine {
  const { chronicle, hashes } = watch
  const inner = createKeyValueStateMachine()
  let given = countThrough(chronicle, start)
  let batch = null as unknown as ApplyBatch
  const commands: ApplyBatch = {
    get first() {
      return batch.first
    },
    get count() {
      return batch.count
    },
    get bytes() {
      return batch.bytes
    },
    get offset() {
      return batch.offset + OPERATION_SIZE_BYTES
    },
    get size() {
      return batch.size - OPERATION_SIZE_BYTES
    },
    get words() {
      return unread()
    },
    get body() {
      return unread()
    },
    get end() {
      return unread()
    },
    get lead() {
      return unread()
    },
    next: () => batch.next(),
    payload: (i) => batch.payload(i).subarray(OPERATION_SIZE_BYTES),
    reply(i, bytes) {
      const { index, result } = chronicle.taken[given - batch.count + i]!
      demand(Buffer.compare(bytes, result) === 0, 'I19', `another result at ${index}`)
      batch.reply(i, bytes)
    },
  }
  return {
    apply(of) {
      batch = of
      for (let i = 0; i < of.count; i++) {
        const taken = chronicle.taken[given++]
        const index = of.first + i
        demand(
          taken?.index === index,
          'I21',
          `is given ${index}, expects ${taken?.index ?? 'none'}`,
        )
        const payload = of.payload(i)
        demand(payload.length > OPERATION_SIZE_BYTES, 'I21', `no command at ${index}`)
        const operation = numberOf(payload)
        demand(taken!.operation === operation, 'I21', `is given another entry at ${index}`)
      }
      inner.apply(commands)
      compare(hashes, of.first + of.count - 1, inner.hash())
    },
    query: (question) => inner.query(question),
    snapshot: (sink) => inner.snapshot(sink),
    freeze: () => inner.freeze(),
    restore(source) {
      const restored = inner.restore(source)
      const before = chronicle.taken[given - 1]?.index
      const wanted = before === undefined ? createKeyValueStateMachine().hash() : hashes.get(before)
      demand(inner.hash() === wanted, 'I20', `the snapshot of ${start} is not what replay gives`)
      return restored
    },
    hash: () => inner.hash(),
  }
}

/** How many entries took effect up to there. */
function countThrough({ taken }: Chronicle, index: number): number {
  let count = taken.length
  while (count > 0 && taken[count - 1]!.index > index) count -= 1
  return count
}

/** The number before each command would be in the way of a loop of one's own. */
const unread = (): never => {
  throw new Error('the watched machine walks by payload alone')
}

const numberOf = (bytes: Uint8Array): number =>
  (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0

function compare(hashes: Map<number, string>, index: number, hash: string): void {
  const known = hashes.get(index)
  if (known === undefined) hashes.set(index, hash)
  else demand(known === hash, 'I19', `states differ behind ${index}`)
}
