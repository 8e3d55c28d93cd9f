/**
 * What of sessions becomes bytes: the commands in frames of kind `session`, the answer that the
 * apply stage hands this node's client, and the whole table for a snapshot. Little-endian. Pure.
 *
 *     command   u8 code; its entry's session id and sequence say of what
 *     answer    u32 verdict | u32 has a result | f64 index | f64 next | result
 *     table     u32 'XPS1' | u32 sessions | sessions
 *     session   u64 id, next, from, usedAt | u32 gaps | u32 answers | gaps | answers
 *     gap       u64 first, through
 *     answer    u64 sequence, index | u32 what | u32 size | result
 */
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import { type Fifo, createFifo, peekAt, pushTo, sizeOfFifo } from '../base/fifo.ts'
import { readU53, writeU53 } from '../codec/u53.ts'
import {
  type Answer,
  type Gap,
  SESSION_LIMITS,
  type SessionLimits,
  type SessionState,
  type SessionTable,
  VERDICT,
  type Verdict,
  createSessionTable,
} from './session-table.ts'

export const COMMAND = {
  /** Opens the session whose id is the log index of this entry. */
  open: 1,
  close: 2,
  /** Decides the entry's sequence for ever; fences the session if need be. */
  decide: 3,
} as const
export type Command = (typeof COMMAND)[keyof typeof COMMAND]

export const commandBytes = (command: Command): Uint8Array => Uint8Array.of(command)

/** An unknown one is a newer version's: to skip it would make this node's state another one. */
export function commandOf(code: number): Command {
  assert(code >= COMMAND.open && code <= COMMAND.decide, 'a command of this version')
  return code as Command
}

export interface SessionAnswer {
  readonly verdict: Verdict
  /** Of the entry that took effect; of this entry when none did. */
  readonly index: number
  /** The sequence that may take effect next; 0 without a session. */
  readonly next: number
  readonly result: Uint8Array | null
}

const ANSWER_HEADER_SIZE_BYTES = 24

export function encodeAnswer({ verdict, index, next, result }: SessionAnswer): Uint8Array {
  const bytes = new Uint8Array(ANSWER_HEADER_SIZE_BYTES + (result?.length ?? 0))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, verdict, true)
  view.setUint32(4, result === null ? 0 : 1, true)
  view.setFloat64(8, index, true)
  view.setFloat64(16, next, true)
  if (result !== null) bytes.set(result, ANSWER_HEADER_SIZE_BYTES)
  return bytes
}

export function decodeAnswer(bytes: Uint8Array): SessionAnswer {
  assert(bytes.length >= ANSWER_HEADER_SIZE_BYTES, 'an answer has its header')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const verdict = view.getUint32(0, true) as Verdict
  assert(verdict >= VERDICT.applied && verdict <= VERDICT.done, 'a verdict of this version')
  return {
    verdict,
    index: view.getFloat64(8, true),
    next: view.getFloat64(16, true),
    result: view.getUint32(4, true) === 0 ? null : bytes.slice(ANSWER_HEADER_SIZE_BYTES),
  }
}

const MAGIC = 0x31535058 // 'XPS1'
const TABLE_HEADER_SIZE_BYTES = 8
const SESSION_SIZE_BYTES = 40
const GAP_SIZE_BYTES = 16
const ANSWER_SIZE_BYTES = 24
const KEPT_NOTHING = 0
const KEPT_NULL = 1
const KEPT_BYTES = 2

/** Equal tables are equal bytes. */
export function saveSessions({ sessions }: SessionTable): Uint8Array {
  let sizeBytes = TABLE_HEADER_SIZE_BYTES
  for (const session of sessions.values()) sizeBytes += savedSizeOf(session)
  const bytes = new Uint8Array(sizeBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, sessions.size, true)
  let at = TABLE_HEADER_SIZE_BYTES
  for (const session of sessions.values()) at = saveSession(bytes, view, at, session)
  assert(at === sizeBytes, 'a table is as long as it was measured')
  return bytes
}

const savedSizeOf = ({ gaps, answers, answersSizeBytes }: SessionState): number =>
  SESSION_SIZE_BYTES +
  gaps.length * GAP_SIZE_BYTES +
  sizeOfFifo(answers) * ANSWER_SIZE_BYTES +
  answersSizeBytes

function saveSession(bytes: Uint8Array, view: DataView, from: number, one: SessionState): number {
  const { id, next, usedAt, gaps, answers } = one
  for (const [place, value] of [id, next, one.from, usedAt].entries()) {
    writeU53(view, from + place * 8, value)
  }
  view.setUint32(from + 32, gaps.length, true)
  view.setUint32(from + 36, sizeOfFifo(answers), true)
  let at = from + SESSION_SIZE_BYTES
  for (const { first, through } of gaps) {
    writeU53(view, at, first)
    writeU53(view, at + 8, through)
    at += GAP_SIZE_BYTES
  }
  for (let place = 0; place < sizeOfFifo(answers); place++) {
    const { sequence, index, result, isKept } = peekAt(answers, place)!
    writeU53(view, at, sequence)
    writeU53(view, at + 8, index)
    const nothing = isKept ? KEPT_NULL : KEPT_NOTHING
    view.setUint32(at + 16, result === null ? nothing : KEPT_BYTES, true)
    view.setUint32(at + 20, result?.length ?? 0, true)
    at += ANSWER_SIZE_BYTES
    if (result !== null) bytes.set(result, at)
    at += result?.length ?? 0
  }
  return at
}

/** @throws ReplicaError E_FRAME_INVALID when the bytes are not a table that was saved */
export function loadSessions(
  bytes: Uint8Array,
  limits: SessionLimits = SESSION_LIMITS,
): SessionTable {
  const reader = openReader(bytes)
  if (reader.u32() !== MAGIC) throw invalid('not a table of version 1')
  const table = createSessionTable(limits)
  for (let left = reader.u32(); left > 0; left--) {
    const session = loadSession(reader)
    if (table.sessions.has(session.id)) throw invalid('a session comes twice')
    table.sessions.set(session.id, session)
  }
  if (reader.left() > 0) throw invalid('bytes behind the last session')
  return table
}

function loadSession(reader: Reader): SessionState {
  const [id, next, from, usedAt] = [reader.u53(), reader.u53(), reader.u53(), reader.u53()]
  const [gapCount, answerCount] = [reader.u32(), reader.u32()]
  const gaps: Gap[] = []
  for (let i = 0; i < gapCount; i++) gaps.push({ first: reader.u53(), through: reader.u53() })
  const answers: Fifo<Answer> = createFifo()
  let answersSizeBytes = 0
  for (let i = 0; i < answerCount; i++) {
    const [sequence, index, what] = [reader.u53(), reader.u53(), reader.u32()]
    if (what > KEPT_BYTES) throw invalid('an answer of another version')
    const result = reader.take(reader.u32())
    if (what !== KEPT_BYTES && result.length > 0) throw invalid('a result that is not there')
    answersSizeBytes += result.length
    const isKept = what !== KEPT_NOTHING
    pushTo(answers, { sequence, index, result: what === KEPT_BYTES ? result : null, isKept })
  }
  return { id, next, from, usedAt, answers, answersSizeBytes, gaps }
}

interface Reader {
  u32(): number
  u53(): number
  /** A copy of the next bytes. */
  take(sizeBytes: number): Uint8Array
  left(): number
}

function openReader(bytes: Uint8Array): Reader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  const skip = (sizeBytes: number): number => {
    if (sizeBytes > bytes.length - at) throw invalid('the bytes end within the table')
    at += sizeBytes
    return at - sizeBytes
  }
  return {
    u32: () => view.getUint32(skip(4), true),
    u53: () => {
      const value = readU53(view, skip(8))
      if (value < 0) throw invalid('a number beyond 2^53 - 1')
      return value
    },
    take: (sizeBytes) => {
      const from = skip(sizeBytes)
      return bytes.slice(from, from + sizeBytes)
    },
    left: () => bytes.length - at,
  }
}

const invalid = (problem: string): ReplicaError =>
  new ReplicaError('E_FRAME_INVALID', problem, { field: 'sessions', problem })
