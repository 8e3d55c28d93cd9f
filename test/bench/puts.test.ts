/** What the load generator writes for the key-value store is puts, of its keys in turn. */
import { expect, test } from 'vitest'
import { PUT_SIZE_MIN_BYTES, fillPuts, putHead } from '../../native-free-bench/engines/puts.ts'
import type { ApplyBatch } from '../../src/base/state-machine.ts'
import { createKeyValueStateMachine } from '../../src/state-machines/key-value.ts'

const DONE = 1

function answersOf(payloads: readonly Uint8Array[]) {
  const machine = createKeyValueStateMachine()
  const answers: number[] = []
  const batch: Pick<ApplyBatch, 'first' | 'count' | 'payload' | 'reply'> = {
    first: 1,
    count: payloads.length,
    payload: (i) => payloads[i]!,
    reply: (_i, bytes) => void answers.push(bytes[0]!),
  }
  machine.apply(batch as ApplyBatch)
  return { answers, machine }
}

test.each([PUT_SIZE_MIN_BYTES, 9, 16, 128])('entries of %i bytes are puts', (size) => {
  const step = 1 + Math.ceil(size / 4)
  const words = new Int32Array(40_000 * step)
  const last = 3_000_000_000 // beyond what an int32 holds
  fillPuts(words, { from: 0, count: 40_000, payload: size, sequence: last - 40_000 })
  const bytes = new Uint8Array(words.buffer)
  const at = (i: number): Uint8Array =>
    bytes.subarray(4 * (i * step + 1), 4 * (i * step + 1) + size)
  const { answers, machine } = answersOf(Array.from({ length: 40_000 }, (_, i) => at(i)))
  expect(answers.every((answer) => answer === DONE)).toBe(true)
  expect(machine.hash()).toMatch(/^16384:/)
  const key = Buffer.alloc(4)
  key.writeUInt32LE(last % 2 ** 14)
  expect(machine.query(key)).toHaveLength(1 + size - 7)
})

test('a single proposal is one, too', () => {
  const payload = new Uint8Array(16)
  putHead(new Int32Array(payload.buffer), 0, 77)
  expect(answersOf([payload]).answers).toEqual([DONE])
})
