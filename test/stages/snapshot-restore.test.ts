/** A snapshot whose checksums are good and whose content is not: made by hand, or in malice. */
import { expect, test } from 'vitest'
import type { StateMachine } from '../../src/base/state-machine.ts'
import { createMemoryStorage } from '../../src/sim/memory-storage.ts'
import { createApplyCheck, saveClients } from '../../src/stages/apply-check.ts'
import { saveSessions } from '../../src/stages/session-bytes.ts'
import { createSessionTable } from '../../src/stages/session-table.ts'
import { restoreSnapshot } from '../../src/stages/snapshot-restore.ts'
import {
  SECTION,
  type Section,
  addBytes,
  createSnapshot,
  keepSnapshot,
  sealSnapshot,
  snapshotPath,
} from '../../src/wal/snapshot-file.ts'

const DIR = '/node'

const record = (bytes: Uint8Array, size = bytes.length): Buffer => {
  const prefix = Buffer.alloc(4)
  prefix.writeUInt32LE(size)
  return Buffer.concat([prefix, bytes])
}
const SESSIONS = record(saveSessions(createSessionTable()))
const CLIENTS = record(saveClients(createApplyCheck(true)))

async function restored(sections: readonly [Section, Uint8Array][]): Promise<string[]> {
  const storage = createMemoryStorage()
  storage.makeDir(DIR)
  const head = { index: 7, chain: 0, clusterHash: 0, historyEpoch: 0 }
  const writer = createSnapshot(storage, DIR, head, true)
  for (const [section, bytes] of sections) addBytes(writer, section, bytes)
  sealSnapshot(writer)
  keepSnapshot(writer)
  const read: string[] = []
  const machine = {
    restore(source) {
      for (let one = source.read(); one !== null; one = source.read()) read.push(String(one.length))
      return Promise.resolve()
    },
  } as StateMachine
  await restoreSnapshot(storage, snapshotPath(DIR, 7), machine, createApplyCheck(true))
  return read
}

test('records come back one by one, also an empty one, and one over several chunks', async () => {
  const state = [new Uint8Array(3), new Uint8Array(0), new Uint8Array(600_000), new Uint8Array(1)]
  const read = await restored([
    [SECTION.sessions, SESSIONS],
    [SECTION.clients, CLIENTS],
    [SECTION.state, Buffer.concat(state.map((one) => record(one)))],
  ])
  expect(read).toEqual(['3', '0', '600000', '1'])
})

test.each<[what: string, sections: readonly [Section, Uint8Array][]]>([
  ['has nothing in it', []],
  ['has no clients', [[SECTION.sessions, SESSIONS]]],
  [
    'has clients of another size',
    [
      [SECTION.sessions, SESSIONS],
      [SECTION.clients, record(new Uint8Array(23))],
    ],
  ],
  [
    'ends within a size',
    [
      [SECTION.sessions, SESSIONS],
      [SECTION.clients, CLIENTS],
      [SECTION.state, new Uint8Array(3)],
    ],
  ],
  [
    'names more bytes than there are, and than memory has',
    [
      [SECTION.sessions, SESSIONS],
      [SECTION.clients, CLIENTS],
      [SECTION.state, record(new Uint8Array(9), 2 ** 32 - 1)],
    ],
  ],
])('one that %s is refused with a type', async (_, sections) => {
  await expect(restored(sections)).rejects.toThrow(/^E_SNAPSHOT_CORRUPT: snapshot-0+7\.snap/)
})
