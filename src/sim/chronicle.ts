/**
 * What the chosen log means, told once by the judge from the chosen frames: which entry takes which
 * effect, what it is answered, and what every key holds behind every index. Nodes, answers and
 * reads are compared with it. It has its own store and its own rules of sessions. Pure.
 *
 * An entry is the number of the operation that some caller made up (u32), then a command of
 * state-machines/key-value.ts: so an effect is known by its operation, however often it is tried.
 */
import {
  FRAME_FLAG_SESSIONS,
  FRAME_KIND,
  type FrameCursor,
  type FrameHeader,
  createFrameHeader,
  enterFrame,
  nextEntry,
  openFrameCursor,
  readFrameHeader,
} from '../codec/frame.ts'
import type { SessionLimits } from '../stages/session-table.ts'
import type { Frame } from './frames.ts'
import { demand } from './invariants.ts'
import {
  type Said,
  type SessionRules,
  createSessionRules,
  ruleCommand,
  ruleEntry,
} from './session-rules.ts'
import { type Store, createStore, execute } from './store.ts'

export const OPERATION_SIZE_BYTES = 4

/** One entry that takes effect. */
export interface Taken {
  readonly index: number
  readonly operation: number
  /** 0: of no session. */
  readonly session: number
  readonly sequence: number
  readonly result: Uint8Array
}

export interface Chronicle {
  through: number
  /** Where frames end. */
  readonly ends: Set<number>
  /** In order of index: what every state machine is given, no more and no less. */
  readonly taken: Taken[]
  readonly byOperation: Map<number, Taken>
  /** Answers to entries and commands of sessions, by index. */
  readonly said: Map<number, Said>
  /** Entries of an operation that found it done. */
  readonly repeats: Map<number, number>
  readonly store: Store
  readonly rules: SessionRules
  /** Called when an operation takes effect. */
  onTaken: (taken: Taken) => void
  /** Scratch. */
  readonly header: FrameHeader
  readonly cursor: FrameCursor
}

export const createChronicle = (limits: SessionLimits): Chronicle => ({
  through: 0,
  ends: new Set(),
  taken: [],
  byOperation: new Map(),
  said: new Map(),
  repeats: new Map(),
  store: createStore(),
  rules: createSessionRules(limits),
  onTaken: () => undefined,
  header: createFrameHeader(),
  cursor: openFrameCursor(new DataView(new ArrayBuffer(0))),
})

/** Tells what chosen frames mean, of which some may be known already. */
export function tell(chronicle: Chronicle, frames: readonly Frame[]): void {
  for (const frame of frames) {
    if (frame.through <= chronicle.through) continue
    demand(frame.first === chronicle.through + 1, 'I21', 'the chosen log is told without a hole')
    tellFrame(chronicle, frame)
    chronicle.through = frame.through
    chronicle.ends.add(frame.through)
  }
}

function tellFrame(chronicle: Chronicle, { bytes, view, offset, sizeBytes, first }: Frame): void {
  const { header, cursor } = chronicle
  const check = readFrameHeader(bytes, view, offset, offset + sizeBytes, header)
  demand(check === 'ok', 'I13', `a chosen frame does not read: ${check}`)
  if (header.kind === FRAME_KIND.config || header.kind === FRAME_KIND.empty) return
  const hasSessions = (header.flags & FRAME_FLAG_SESSIONS) !== 0
  enterFrame(cursor, view, offset, header)
  for (let index: number = first; nextEntry(cursor); index++) {
    if (!hasSessions) take(chronicle, index, bytes, cursor)
    else if (header.kind === FRAME_KIND.session) command(chronicle, index, bytes, cursor)
    else entry(chronicle, index, bytes, cursor)
  }
  demand(cursor.problem === 'ok', 'I13', `a chosen frame has bad entries: ${cursor.problem}`)
}

function entry(chronicle: Chronicle, index: number, bytes: Uint8Array, at: FrameCursor): void {
  const { clientId: session, sequence } = at
  const mark = { session, sequence, index }
  const said = ruleEntry(chronicle.rules, mark, () => take(chronicle, index, bytes, at, mark))
  chronicle.said.set(index, said)
  if (said.index === index) return
  const operation = operationAt(at)
  chronicle.repeats.set(operation, (chronicle.repeats.get(operation) ?? 0) + 1)
}

function command(chronicle: Chronicle, index: number, bytes: Uint8Array, at: FrameCursor): void {
  const mark = { session: at.clientId, sequence: at.sequence, index }
  chronicle.said.set(index, ruleCommand(chronicle.rules, bytes[at.payloadOffset]!, mark))
}

const operationAt = ({ view, payloadOffset }: FrameCursor): number =>
  view.getUint32(payloadOffset, true)

function take(
  chronicle: Chronicle,
  index: number,
  bytes: Uint8Array,
  at: FrameCursor,
  { session, sequence } = { session: 0, sequence: 0 },
): Uint8Array {
  const { payloadOffset, payloadSize } = at
  const operation = operationAt(at)
  const from = payloadOffset + OPERATION_SIZE_BYTES
  const result = execute(chronicle.store, index, bytes.subarray(from, payloadOffset + payloadSize))
  const taken = { index, operation, session, sequence, result }
  const before = chronicle.byOperation.get(operation)
  demand(before === undefined, 'I10', `operation ${operation} takes effect at ${index} as well`)
  chronicle.taken.push(taken)
  chronicle.byOperation.set(operation, taken)
  chronicle.onTaken(taken)
  return result
}
