/** A snapshot that is read while the store changes is of the moment at which it was begun. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StateMachine } from '../../src/base/state-machine.ts'
import type { KvCommand } from '../../src/state-machines/key-value-commands.ts'
import { createKeyValueStateMachine, encodePut } from '../../src/state-machines/key-value.ts'
import { applyOne, operation, restored, run, snapshotOf } from './key-value-support.ts'

const create = (): Required<StateMachine> => createKeyValueStateMachine()

/** A tick, so that keys end while it is read, or an operation. */
const command: fc.Arbitrary<KvCommand> = fc.oneof(
  { weight: 8, arbitrary: operation },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('tick' as const), nowMs: fc.nat({ max: 600 }) }),
  },
)

test('whatever happens meanwhile: what is read is what was there, byte for byte', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(command, { maxLength: 40 }),
      fc.array(fc.array(command, { maxLength: 6 }), { minLength: 1, maxLength: 60 }),
      async (before, meanwhile) => {
        const machine = create()
        let index = 0
        for (const one of before) run(machine, one, ++index)
        // Large values, so that it takes several records.
        for (const key of ['a', 'm', 'z', 'zz']) {
          const put = encodePut(Buffer.from(key), Buffer.alloc(30_000, key))
          applyOne(machine, put, ++index)
        }
        const hash = machine.hash()
        const whole = await snapshotOf(machine)
        const frozen = machine.freeze()
        const read: Uint8Array[] = []
        for (const commands of meanwhile) {
          for (const one of commands) run(machine, one, ++index)
          const record = frozen.next()
          if (record === null) break
          read.push(record)
        }
        for (let record = frozen.next(); record !== null; record = frozen.next()) read.push(record)
        frozen.close()
        expect(Buffer.concat(read).equals(Buffer.concat(whole))).toBe(true)
        expect(read.map(({ length }) => length)).toEqual(whole.map(({ length }) => length))
        expect((await restored(create, read)).hash()).toBe(hash)
        // It is over: the next one is of now.
        expect((await restored(create, await snapshotOf(machine))).hash()).toBe(machine.hash())
      },
    ),
    { numRuns: 100 },
  )
})

test('one at a time is open', () => {
  const machine = create()
  machine.freeze()
  expect(() => machine.freeze()).toThrow('one snapshot of a store is read at a time')
})
