/** The store against a naive one, its bytes both ways, and bytes that nobody has written. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeCommand,
  decodeQuestion,
  encodeCommand,
  encodeQuestion,
} from '../../src/state-machines/key-value-codec.ts'
import { createKeyValueStateMachine } from '../../src/state-machines/key-value.ts'
import { createModel, run as runModel } from './key-value-model.ts'
import { applyOne, ask, bytesOf, command, restored, run, snapshotOf } from './key-value-support.ts'

const bytesAsHex = (value: unknown): unknown => {
  if (ArrayBuffer.isView(value)) return Buffer.from(value as Uint8Array).toString('hex')
  if (typeof value === 'bigint') return `${String(value)}n`
  if (Array.isArray(value)) return value.map(bytesAsHex)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, bytesAsHex(one)]))
}

test('the store answers as a naive one does, and says the same after a restore', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
      const model = createModel()
      let machine = createKeyValueStateMachine()
      for (const [i, one] of commands.entries()) {
        const expected = bytesAsHex(runModel(model, one, i + 1))
        expect(bytesAsHex(run(machine, one, i + 1))).toEqual(expected)
        if (i % 20 !== 10) continue
        const chunks = await snapshotOf(machine)
        const other = await restored(createKeyValueStateMachine, chunks)
        expect(other.hash()).toBe(machine.hash())
        expect(await snapshotOf(other)).toEqual(chunks)
        machine = other
      }
      const whole = { kind: 'range', from: new Uint8Array(0), to: null } as const
      const want = runModel(model, { ...whole, limit: 1_000 }, 0)
      expect(bytesAsHex(ask(machine, whole))).toEqual(bytesAsHex([want]))
    }),
    { numRuns: 400, seed: 7 },
  )
})

test('every command has one form: what is read is written again', () => {
  fc.assert(
    fc.property(command, (one) => {
      const bytes = encodeCommand(one)
      expect(bytesAsHex(encodeCommand(decodeCommand(bytes)!))).toBe(bytesAsHex(bytes))
    }),
    { numRuns: 2_000, seed: 3 },
  )
})

test('a question is read as it was written, and a key is none', () => {
  const get = { kind: 'get', key: bytesOf('k') } as const
  const range = { kind: 'range', from: bytesOf('a'), to: null, limit: 3 } as const
  for (const one of [get, range, { kind: 'status' }, { kind: 'many', of: [get, range] }] as const) {
    expect(bytesAsHex(decodeQuestion(encodeQuestion(one)))).toEqual(bytesAsHex(one))
  }
  expect(decodeQuestion(bytesOf('key'))).toBeNull()
})

const drawnBytes = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  // Cut, grown and altered commands get further than noise does.
  fc
    .tuple(command, fc.nat(200), fc.nat(200), fc.nat(255), fc.uint8Array({ maxLength: 3 }))
    .map(([one, cut, at, byte, more]) => {
      const bytes = Buffer.concat([encodeCommand(one), more])
      if (bytes.length > 0) bytes[at % bytes.length] = byte
      return Uint8Array.from(bytes.subarray(0, cut > 150 ? bytes.length : cut))
    }),
)

test('bytes that nobody has written never throw, and malformed ones change nothing', () => {
  const machine = createKeyValueStateMachine()
  let index = 0
  let [malformed, taken] = [0, 0]
  fc.assert(
    fc.property(drawnBytes, (bytes) => {
      const before = machine.hash()
      const isMalformed = decodeCommand(bytes) === null
      const answer = applyOne(machine, bytes, ++index)
      expect(answer[0] === 2).toBe(isMalformed)
      if (isMalformed) expect(machine.hash()).toBe(before)
      if (isMalformed) malformed += 1
      else taken += 1
      const mark = encodeQuestion({ kind: 'status' }).subarray(0, 4)
      machine.query(Buffer.concat([mark, bytes]))
      machine.query(bytes)
    }),
    { numRuns: 20_000, seed: 11 },
  )
  expect(Math.min(malformed, taken)).toBeGreaterThan(1_000)
})
