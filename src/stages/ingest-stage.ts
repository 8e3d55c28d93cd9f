/**
 * Ingest stage: the client side of a node. Clients fill entries straight into the log ring; ingest
 * stamps ballot, first index and checksums, publishes the frame, and tells clients what was chosen.
 *
 *     clients --> ingest --[log ring 0: bytes]--> wal, fanout, apply
 *                 ingest --[FRAME]--> decide
 *                 ingest <--[LEAD, UNLEAD, CHOSEN, ADMIT, CONFIGURE]-- decide
 *
 * Invariants: entries are written once; one frame is open at a time and belongs to one client; a
 * frame is `not-proposed` until it is published and `unknown` from then on (R37); bytes published
 * and not chosen stay under `uncommittedBytesMax`, so that refusals come early; while a group is
 * under way, or a group of the log is still to be aborted, nothing else is taken (R38). Runs on the
 * caller's thread, the only writer of log ring 0.
 */
import { assert } from '../base/assert.ts'
import { ReplicaError } from '../base/errors.ts'
import {
  FRAME_FLAG_CONTINUES,
  FRAME_FLAG_SESSIONS,
  FRAME_HEADER_SIZE_BYTES,
  entrySizeOf,
  frameSizeOf,
  stampFrame,
  writeEntry,
  writeFrameHeader,
  writeSessionEntry,
} from '../codec/frame.ts'
import type { AdmitReason } from '../core/engine.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import { type LogRing, freeBytes, publish, tryClaim } from '../ring/log-ring.ts'
import { foldFrame } from './apply-check.ts'
import * as cell from './cells.ts'
import { type ProtocolFrame, putProtocolFrame } from './config-frame.ts'
import {
  type FrameShape,
  type IngestClient,
  PLAIN_FRAMES,
  type SessionMark,
  createIngestClient,
} from './ingest-client.ts'
import { type Group, isStarted, keepRest, nextFrameOf, writeFrameOf } from './ingest-group.ts'
import { createPublished } from './ingest-published.ts'
import { CONFIGURE, groupCellsOf, readMembership } from './membership-cells.ts'
import { type OutPort, claim, drain, flush } from './port.ts'
import type { Stage } from './stage.ts'

const EVENTS_MAX = 1_024
const AT_BODY_CRC = 56
const NOBODY: ReadonlySet<IngestClient> = new Set()

export interface IngestConfig {
  readonly batchBytesMax: number
  readonly batchEntriesMax: number
  readonly lingerMs: number
  readonly uncommittedBytesMax: number
  /** Basic Paxos numbers instances itself: frames carry index 0 and complete when applied. */
  readonly indexed: boolean
}

interface OpenFrame {
  readonly client: IngestClient
  readonly offset: number
  readonly limit: number
  readonly sequence: number
  at: number
  count: number
  readonly openedAtMs: number
}

// What clients need of this stage beside its calls.
export {
  COMMAND_FRAMES,
  type FrameShape,
  type IngestClient,
  PLAIN_FRAMES,
  SESSION_FRAMES,
  type SessionMark,
} from './ingest-client.ts'

export interface Ingest extends Stage {
  readonly leads: boolean
  /** False while what is proposed is refused: for a hand-over (R24), or a Logger's full log. */
  readonly admits: boolean
  readonly closedFor: AdmitReason | null
  /** Where the leader is believed to be after an UNLEAD; 0: not known. */
  readonly leader: number
  openClient(id: number, onProgress: () => void, shape?: FrameShape): IngestClient
  closeClient(client: IngestClient): void
  /** False: no room now, or this node does not lead (client.failure says which). */
  tryWrite(client: IngestClient, payload: Uint8Array): boolean
  /** The same for a client whose frames have sessions. */
  tryWriteMarked(client: IngestClient, mark: SessionMark, payload: Uint8Array): boolean
  /**
   * Room for `count` entries of `payloadSizeBytes` each in one frame; the caller then writes, at
   * the returned byte offset of `bytes`, per entry a u32 length and the payload padded to 4.
   * -1: no room now.
   */
  tryReserve(client: IngestClient, count: number, payloadSizeBytes: number): number
  /**
   * Takes entries that take effect together or not at all; what finds no room now is copied and
   * goes first as soon as there is some. `mark` is the first one's, where frames have sessions.
   * False: another group waits, or this node does not lead (client.failure says which).
   */
  tryWriteGroup(
    client: IngestClient,
    payloads: readonly Uint8Array[],
    mark: SessionMark | null,
  ): boolean
  /** Whether a tryWrite would find room. False: all clients make progress as soon as it would. */
  hasRoom(): boolean
  /** Bytes that may be published and not yet chosen. */
  readonly limitBytes: number
  /** Publishes the open frame, if any. */
  seal(): void
  /** The node is going down: no client gets any further. */
  failAll(error: ReplicaError): void
  readonly log: LogRing
  /** Those that are open, by id. */
  readonly clients: ReadonlyMap<number, IngestClient>
  /** Chosen or applied frames arrive out of band when frames are not indexed. */
  complete(clientId: number, sequenceThrough: number, index: number): void
}

export function createIngest(
  config: IngestConfig,
  wiring: {
    readonly log: LogRing
    readonly events: CellRing
    readonly toDecide: OutPort
    readonly nowMs: () => number
    readonly onLead: (leads: boolean, leader: number) => void
    /** Takes what is not about frames; returns how many cells it used. */
    readonly onOther?: (cells: CellRing, base: number, place: number) => number
  },
): Ingest {
  const { log, events, toDecide, nowMs } = wiring
  const clients = new Map<number, IngestClient>()
  const published = createPublished()
  let open: OpenFrame | null = null
  let ballot = -1
  let leader = 0
  let next = 0
  let starved = false
  /** The node is down: a late LEAD must not make it look like a leader. */
  let isClosed = false
  let closedFor: AdmitReason | null = null
  /** Asked for by the core, in order, and not published yet: the ring had no room. */
  let asked: ProtocolFrame[] = []
  let group: Group | null = null

  const leads = (): boolean => ballot >= 0
  const openFrame = (client: IngestClient, bodyBytesMin: number): OpenFrame | null => {
    if (published.sizeBytes >= config.uncommittedBytesMax) return null
    if (toDecide.overflow.length > 0) return null
    const bodyMax = Math.max(bodyBytesMin, config.batchBytesMax - FRAME_HEADER_SIZE_BYTES)
    const offset = tryClaim(log, frameSizeOf(bodyMax))
    if (offset < 0) return null
    const at = offset + FRAME_HEADER_SIZE_BYTES
    const sequence = client.submitted + 1
    return { client, offset, limit: at + bodyMax, sequence, at, count: 0, openedAtMs: nowMs() }
  }
  /** A group of the log is owed its end: nothing else goes before that. */
  const owesAbort = (): boolean => asked[0] === 'abort'
  /** The open frame if `sizeBytes` more fit in it, else a new one; null: no room. */
  const frameFor = (client: IngestClient, sizeBytes: number, count: number): OpenFrame | null => {
    if (!leads() || closedFor !== null || client.failure !== null) return null
    if (group !== null || owesAbort()) {
      starved = true
      return null
    }
    const fits =
      open?.client === client &&
      open.at + sizeBytes <= open.limit &&
      open.count + count <= config.batchEntriesMax
    if (!fits) {
      seal()
      open = openFrame(client, sizeBytes)
      starved ||= open === null
    }
    return open
  }
  const seal = (continues = false): void => {
    if (open === null) return
    const frame = open
    open = null
    if (frame.count === 0) return void publish(log, 0)
    const { client, offset, count, sequence: clientSequence } = frame
    const { id: clientId, shape } = client
    const bodySizeBytes = frame.at - offset - FRAME_HEADER_SIZE_BYTES
    const flags = shape.flags | (continues ? FRAME_FLAG_CONTINUES : 0)
    const fields = { kind: shape.kind, flags, bodySizeBytes, count, clientId, clientSequence }
    writeFrameHeader(log.view, offset, fields)
    const first = config.indexed ? next : 0
    const headerCrc = stampFrame(log.bytes, log.view, offset, ballot as Ballot, first as LogIndex)
    const bodyCrc = log.view.getUint32(offset + AT_BODY_CRC, true)
    const sizeBytes = frameSizeOf(bodySizeBytes)
    const end = publish(log, sizeBytes)
    client.publishedFold = foldFrame(client.publishedFold, bodyCrc, clientSequence)
    client.publishedThrough = clientSequence + count - 1
    const base = claim(toDecide)
    const descriptor = { first, count, ballot, sizeBytes, headerCrc, continues }
    cell.writeFrameCell(toDecide.words, base, descriptor, { ring: 0, offset, end })
    const through = config.indexed ? next + count - 1 : 0
    const sequenceThrough = client.publishedThrough
    published.add({ client, through, sequenceThrough, sizeBytes, fold: client.publishedFold })
    next += count
    flush(toDecide)
  }
  const noteWritten = (frame: OpenFrame): void => {
    frame.count += 1
    frame.client.submitted += 1
    if (config.lingerMs === 0 && published.takesEarly(frame.count)) seal()
  }
  /** Config and empty frames go into the sequence like any other, and belong to no client (R26). */
  const putAsked = (): void => {
    if (asked.length === 0 || isStarted(group)) return
    seal()
    while (asked.length > 0) {
      const frame = putProtocolFrame(log, asked[0]!, ballot, next)
      if (frame === null) return
      const base = claim(toDecide)
      const { offset, end } = frame
      cell.writeFrameCell(toDecide.words, base, frame, { ring: 0, offset, end })
      next += 1
      asked.shift()
    }
    flush(toDecide)
  }
  /** Publishes as much of the group as there is room for. */
  const putGroup = (): void => {
    while (group !== null && !owesAbort()) {
      const { count, bodySizeBytes } = nextFrameOf(group, config)
      seal()
      open = openFrame(group.client, bodySizeBytes)
      if (open === null) return
      open.at = writeFrameOf(group, count, log, open.at)
      open.count = count
      group.client.submitted += count
      group.at += count
      const isLast = group.at === group.payloads.length
      if (isLast) group = null
      seal(!isLast)
    }
  }
  const finish = (touched: ReadonlySet<IngestClient>): void => {
    if (touched.size === 0) return
    for (const client of touched) client.onProgress()
    if (starved) wakeStarved(touched)
  }
  /** Bytes of the ring get free without a word from decide, so a starved client polls for them. */
  const hasRoom = (): boolean =>
    group === null &&
    !owesAbort() &&
    closedFor === null &&
    (open !== null ||
      (published.sizeBytes < config.uncommittedBytesMax &&
        toDecide.overflow.length === 0 &&
        freeBytes(log) >= 2 * config.batchBytesMax))
  const wakeStarved = (except: ReadonlySet<IngestClient>): void => {
    starved = false
    for (const client of clients.values()) if (!except.has(client)) client.onProgress()
  }
  const onUnlead = (to: number): void => {
    leader = to
    fail(new ReplicaError('E_LEADERSHIP_LOST', 'this node no longer leads', { leader: to }))
    wiring.onLead(false, to)
  }
  /** What was published is `unknown` to its client from now on, for ever (R37). */
  const fail = (error: ReplicaError): void => {
    if (open !== null) publish(log, 0)
    open = null
    ballot = -1
    asked = []
    group = null
    const lost = published.forget()
    for (const client of clients.values()) {
      const outcome = lost.has(client) ? 'unknown' : 'not-proposed'
      const message = error.message.replace(`${error.code}: `, '')
      client.failure ??= new ReplicaError(error.code, message, error.detail, outcome)
      client.onProgress()
    }
  }
  const failAll = (error: ReplicaError): void => {
    isClosed = true
    fail(error)
  }
  const askFor = (config: Uint8Array): void => {
    if (config.length > 0) asked.push(config)
    asked.push('empty')
  }
  const onEvent = (words: Float64Array, base: number, place: number): number => {
    const kind = words[base]!
    if (isClosed) return 1
    if (kind === cell.LEAD) {
      ballot = words[base + 1]!
      next = words[base + 2]!
      closedFor = null
      asked = words[base + 3] === 1 ? ['abort'] : []
      putAsked() // before anybody hears that he may propose
      wiring.onLead(true, 0)
    } else if (kind === cell.UNLEAD) onUnlead(words[base + 1]!)
    else if (kind === cell.CHOSEN) {
      if (config.indexed) finish(published.settleThrough(words[base + 1]!))
    } else if (kind === cell.ADMIT) {
      seal() // what clients were promised to be tried is, also on the eve of a hand-over
      closedFor = cell.admitReasonAt(words, base)
      starved = true // whoever waits for room looks again when there is some
    } else if (kind === CONFIGURE) {
      // One of a ballot that has ended comes too late: the core has forgotten it.
      if (words[base + 1] === ballot) askFor(readMembership(events, place))
      return groupCellsOf(words, base)
    } else return wiring.onOther?.(events, base, place) ?? 1
    return 1
  }
  return {
    name: 'ingest',
    log,
    clients,
    limitBytes: config.uncommittedBytesMax,
    get leads() {
      return leads()
    },
    get admits() {
      return closedFor === null
    },
    get closedFor() {
      return closedFor
    },
    get leader() {
      return leader
    },
    openClient(id, onProgress, shape = PLAIN_FRAMES) {
      assert(!clients.has(id), 'a client id is used once')
      const client = createIngestClient(id, onProgress, shape)
      clients.set(id, client)
      return client
    },
    closeClient(client) {
      if (open?.client === client) seal()
      clients.delete(client.id)
    },
    tryWrite(client, payload) {
      const frame = frameFor(client, entrySizeOf(payload.length), 1)
      if (frame === null) return false
      frame.at = writeEntry(log.bytes, log.view, frame.at, payload)
      noteWritten(frame)
      return true
    },
    tryWriteMarked(client, { session, sequence }, payload) {
      assert((client.shape.flags & FRAME_FLAG_SESSIONS) !== 0, 'only such frames have marks')
      const frame = frameFor(client, entrySizeOf(payload.length, true), 1)
      if (frame === null) return false
      frame.at = writeSessionEntry(log.bytes, log.view, frame.at, session, sequence, payload)
      noteWritten(frame)
      return true
    },
    tryWriteGroup(client, payloads, mark) {
      if (!leads() || closedFor !== null || client.failure !== null || group !== null) return false
      group = { client, payloads, mark, at: 0 }
      putGroup()
      if (group !== null) keepRest(group)
      return true
    },
    tryReserve(client, count, payloadSizeBytes) {
      const sizeBytes = count * entrySizeOf(payloadSizeBytes)
      const frame = frameFor(client, sizeBytes, count)
      if (frame === null) return -1
      const { at } = frame
      frame.at += sizeBytes
      frame.count += count
      client.submitted += count
      return at
    },
    seal: () => seal(),
    failAll,
    complete(clientId, sequenceThrough, index) {
      if (!config.indexed) finish(published.settleOne(clientId, sequenceThrough, index))
    },
    hasRoom() {
      const isThere = hasRoom()
      starved ||= !isThere
      return isThere
    },
    doWork() {
      const work = drain(events, EVENTS_MAX, onEvent)
      putAsked()
      putGroup()
      if (open !== null && nowMs() - open.openedAtMs >= config.lingerMs) seal()
      flush(toDecide)
      if (starved && hasRoom()) wakeStarved(NOBODY)
      return work
    },
    close: () => undefined,
  }
}
