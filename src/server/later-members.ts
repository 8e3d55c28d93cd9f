/**
 * Members that came after the cluster began: their names and addresses, as operators told this node
 * of them (`member add`), kept in `members.json` of the data directory. The log says who belongs;
 * this says only where they are. Caller's thread.
 *
 * Invariant: the file is replaced whole: a crash leaves the old one or the new one.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { ReplicaError } from '../base/errors.ts'
import type { ListenAddress } from './serve-config.ts'

export interface LaterMember {
  readonly id: number
  readonly name: string
  readonly peer: ListenAddress
}

export interface LaterMembers {
  readonly all: () => readonly LaterMember[]
  /** One that is known already is replaced. @throws ReplicaError E_DATA_DIR */
  add(member: LaterMember): void
}

const FILE = 'members.json'
const SCHEMA = 'xpaxos-members/1'
const SIZE_MAX_BYTES = 65_536

/** @throws ReplicaError E_DATA_DIR: the file is not one of ours */
export function openLaterMembers(dataDir: string): LaterMembers {
  const path = `${dataDir}/${FILE}`
  const members = new Map(readMembers(path).map((one) => [one.id, one]))
  return {
    all: () => [...members.values()],
    add(member) {
      const next = new Map(members).set(member.id, member)
      writeMembers(dataDir, [...next.values()])
      members.set(member.id, member)
    },
  }
}

function readMembers(path: string): readonly LaterMember[] {
  const text = textOf(path)
  if (text === null) return []
  try {
    if (text.length > SIZE_MAX_BYTES) throw new SyntaxError('too large')
    const { schema, members } = JSON.parse(text) as { schema: string; members: LaterMember[] }
    if (schema !== SCHEMA || !members.every(isMember)) throw new SyntaxError('another schema')
    return members
  } catch (cause) {
    throw failure(path, `is no ${SCHEMA}`, cause)
  }
}

const isMember = ({ id, name, peer }: LaterMember): boolean =>
  Number.isInteger(id) && typeof name === 'string' && typeof peer.host === 'string' && peer.port > 0

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw failure(path, 'cannot be read', cause)
  }
}

function writeMembers(dataDir: string, members: readonly LaterMember[]): void {
  const path = `${dataDir}/${FILE}`
  const text = `${JSON.stringify({ schema: SCHEMA, members }, null, 2)}\n`
  try {
    synced(openSync(`${path}.tmp`, 'w', 0o600), (file) => writeFileSync(file, text))
    renameSync(`${path}.tmp`, path)
    synced(openSync(dataDir, 'r'), () => undefined) // its name, too
  } catch (cause) {
    throw failure(path, 'cannot be written', cause)
  }
}

function synced(file: number, write: (file: number) => void): void {
  try {
    write(file)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function failure(path: string, problem: string, cause: unknown): ReplicaError {
  return new ReplicaError('E_DATA_DIR', `${path}: ${problem}`, { problem }, 'not-proposed', {
    cause,
  })
}
