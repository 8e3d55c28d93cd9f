/**
 * Receive stage: takes messages from the inboxes of all links, holds them until the emulated link
 * would have delivered them, verifies every frame once, and tells decide what came.
 *
 *     inbox cells + bytes (one pair a peer) --> receive --[message cell, FRAME cells]--> decide
 *
 * Invariants: decide sees only frames whose checksums are right, the bodies' too where a link could
 * have changed them; a message with a bad frame is dropped whole, and decide ends its session;
 * order within a link is kept; of a session with a node of another history nothing passes, not even
 * that it began. Neither blocks nor sleeps, so it runs on either kind of thread; it must not free
 * ring bytes (decide does).
 */
import {
  FRAME_KIND,
  type FrameHeader,
  checkFrame,
  createFrameHeader,
  isContinued,
  readFrameHeader,
} from '../codec/frame.ts'
import { available, cellBase, consume } from '../ring/cell-ring.ts'
import type { CellRing } from '../ring/cell-ring.ts'
import { type LogRing, UNIT_SIZE_BYTES } from '../ring/log-ring.ts'
import { type Delay, dueAt } from '../net/delay.ts'
import { AT_HISTORY, AT_PAYLOAD_END, AT_PAYLOAD_OFFSET, AT_STAMP } from '../net/link.ts'
import { LINK_KIND_MIN, LINK_UP } from '../net/link.ts'
import { AT_FRAMES, AT_SIZE, DROPPED, type FrameCell, writeFrameCell } from './cells.ts'
import { isKnownConfig } from './config-frame.ts'
import { type OutPort, claim, flush } from './port.ts'
import type { Stage } from './stage.ts'

const MESSAGES_MAX = 64
/**
 * Of one message: more than any core sends (FRAMES_READ_MAX of the WAL, FRAMES_MAX of the core).
 */
const FRAMES_MAX = 1_024

const NO_FRAMES: readonly FrameCell[] = []

export interface ReceiveLink {
  readonly peer: number
  readonly cells: CellRing
  readonly log: LogRing
  /** Number of `log` among this node's log rings. */
  readonly ring: number
  /** Null: deliver at once. */
  readonly delay: Delay | null
  /**
   * False where the bytes were copied within this process: no medium could have changed them since
   * the sender's own check, and apply takes the checksum of every body anew.
   */
  readonly checksBodies: boolean
  /** The history epoch of this node; default 0. */
  readonly history?: number
  /** A session with a node of another history began. */
  readonly onForeign?: () => void
  readonly onInvalid: () => void
  readonly onPayload: (sizeBytes: number) => void
}

export function createReceiveStage(
  links: readonly ReceiveLink[],
  toDecide: OutPort,
  nowMs: () => number,
): Stage {
  const header = createFrameHeader()
  const due = links.map(() => -1)
  const foreign = links.map(() => false)
  const doWork = (): number => {
    if (!flush(toDecide)) return 0
    let work = 0
    for (const [place, link] of links.entries()) work += receive(link, place)
    flush(toDecide)
    return work
  }
  const receive = (link: ReceiveLink, place: number): number => {
    const ready = Math.min(available(link.cells), MESSAGES_MAX)
    let taken = 0
    for (; taken < ready; taken++) {
      const base = cellBase(link.cells, taken)
      if (link.delay !== null && !isDue(link.delay, link.cells.words, base, place)) break
      const { words } = link.cells
      if (words[base] === LINK_UP) foreign[place] = isForeign(link, words, base)
      if (foreign[place]) drop(link, words, base, toDecide, false)
      else pass(link, words, base, toDecide, header)
    }
    consume(link.cells, taken)
    return taken
  }
  /** The time is drawn once a message, when it first heads its queue. */
  const isDue = (delay: Delay, words: Float64Array, base: number, place: number): boolean => {
    if (due[place]! < 0) {
      due[place] = dueAt(delay, words[base + AT_STAMP]!, words[base + AT_SIZE]!)
    }
    if (nowMs() < due[place]!) return false
    due[place] = -1
    return true
  }
  return { name: 'receive', doWork, close: () => undefined }
}

function isForeign(link: ReceiveLink, words: Float64Array, base: number): boolean {
  const isOther = words[base + AT_HISTORY] !== (link.history ?? 0)
  if (isOther) link.onForeign?.()
  return isOther
}

function pass(
  link: ReceiveLink,
  words: Float64Array,
  base: number,
  toDecide: OutPort,
  header: FrameHeader,
): void {
  const sizeBytes = words[base + AT_SIZE]!
  const offset = words[base + AT_PAYLOAD_OFFSET]!
  const isControl = words[base]! >= LINK_KIND_MIN
  const frames = isControl ? NO_FRAMES : framesOf(link, offset, sizeBytes, header)
  if (frames === null || (!isControl && frames.length !== words[base + AT_FRAMES])) {
    link.onInvalid()
    return drop(link, words, base, toDecide, true)
  }
  if (sizeBytes > 0) link.onPayload(sizeBytes)
  const at = claim(toDecide, frames.length)
  toDecide.words.set(words.subarray(base, base + 16), at)
  toDecide.words[at + 1] = link.peer
  let before = sizeBytes
  for (const frame of frames) {
    const end = (words[base + AT_PAYLOAD_END]! - (before - frame.sizeBytes) / UNIT_SIZE_BYTES) | 0
    const place = { ring: link.ring, offset: offset + sizeBytes - before, end }
    const cellAt = claim(toDecide)
    writeFrameCell(toDecide.words, cellAt, frame, place)
    before -= frame.sizeBytes
  }
}

/** Decide alone frees bytes, in their order, and ends sessions. */
function drop(
  link: ReceiveLink,
  words: Float64Array,
  base: number,
  toDecide: OutPort,
  ends: boolean,
): void {
  if (words[base]! >= LINK_KIND_MIN) return // of a session that decide never heard of
  const sizeBytes = words[base + AT_SIZE]!
  if (sizeBytes === 0 && !ends) return
  const at = claim(toDecide)
  const place = { ring: link.ring, offset: words[base + AT_PAYLOAD_OFFSET]! }
  const end = words[base + AT_PAYLOAD_END]!
  const frame = { first: 0, count: ends ? 1 : 0, ballot: 0, sizeBytes, headerCrc: 0 }
  writeFrameCell(toDecide.words, at, frame, { ...place, end })
  toDecide.words[at] = DROPPED
  toDecide.words[at + 1] = link.peer
}

/** The frames of a payload, their checksums verified; null when anything is wrong. */
function framesOf(
  { log, checksBodies }: ReceiveLink,
  offset: number,
  sizeBytes: number,
  header: FrameHeader,
): FrameCell[] | null {
  const check = checksBodies ? checkFrame : readFrameHeader
  const limit = offset + sizeBytes
  const frames: FrameCell[] = []
  for (let at = offset; at < limit; at += header.sizeBytes) {
    if (frames.length === FRAMES_MAX) return null
    if (check(log.bytes, log.view, at, limit, header) !== 'ok') return null
    if (at + header.sizeBytes > limit) return null
    if (header.kind === FRAME_KIND.config && !isKnownConfig(log, at, header)) return null
    frames.push({ ...header, continues: isContinued(header.flags) })
  }
  return frames
}
