/**
 * All frames that the ingest stages of a run have made, as the judge knows them: one object a
 * content, with bytes of its own that nobody else writes. Whatever a ring, a link or a disk holds
 * is compared with these. Pure; one a run.
 *
 * Invariant: a ballot has one frame that begins at an index.
 */
import type { FrameRef } from '../core/frame-ref.ts'
import { throughOf } from '../core/frame-ref.ts'
import type { LogRing } from '../ring/log-ring.ts'
import { createFrameHeader, readFrameHeader } from '../codec/frame.ts'
import type { Frame } from './frames.ts'
import { configIn } from './protocol-frames.ts'
import { demand } from './invariants.ts'

export interface FrameBook {
  /** By the first index: one a ballot. */
  readonly byFirst: Map<number, Frame[]>
  chunk: Uint8Array
  view: DataView
  used: number
  nextSerial: number
}

const CHUNK_BYTES = 2 ** 15

export function createFrameBook(): FrameBook {
  const chunk = new Uint8Array(CHUNK_BYTES)
  const view = new DataView(chunk.buffer)
  return { byFirst: new Map(), chunk, view, used: 0, nextSerial: 1 }
}

type Named = Pick<FrameRef, 'first' | 'ballot' | 'headerCrc'>

export function frameOf(book: FrameBook, { first, ballot, headerCrc }: Named): Frame | undefined {
  const known = book.byFirst.get(first)
  if (known === undefined) return undefined
  for (const frame of known) {
    if (frame.ballot === ballot && frame.headerCrc === headerCrc) return frame
  }
  return undefined
}

/** The frames that descriptors of a node name; each must have been made by somebody. */
export function framesOf(book: FrameBook, refs: readonly Named[]): readonly Frame[] {
  if (refs.length === 0) return NO_FRAMES
  const frames: Frame[] = []
  for (const ref of refs) {
    const frame = frameOf(book, ref)
    demand(frame !== undefined, 'I5', `nobody made the frame at ${ref.first}`)
    frames.push(frame!)
  }
  return frames
}

const NO_FRAMES: readonly Frame[] = []

/** Enters the frame that an ingest stage has just published in its ring. */
export function enterFrame(book: FrameBook, ref: FrameRef, log: LogRing): Frame {
  const { first, count, ballot, sizeBytes, headerCrc, offset, continues } = ref
  const header = createFrameHeader()
  const check = readFrameHeader(log.bytes, log.view, offset, offset + sizeBytes, header)
  demand(check === 'ok', 'I13', `a frame is published with a bad header: ${check}`)
  const same = header.first === first && header.ballot === ballot && header.count === count
  demand(same && header.headerCrc === headerCrc, 'I13', 'a descriptor names another frame')
  if (book.used + sizeBytes > book.chunk.length) openChunk(book, sizeBytes)
  const { chunk: bytes, view, used } = book
  bytes.set(log.bytes.subarray(offset, offset + sizeBytes), used)
  book.used += sizeBytes
  const serial = book.nextSerial++
  const session = header.clientId
  const through = throughOf(ref)
  const frame: Frame = {
    ...{ first, count, through, ballot, sizeBytes, headerCrc, serial, session },
    ...{ bytes, view, offset: used, continues, kind: header.kind },
    ...configIn(header.kind, { bytes, view, offset: used, sizeBytes }),
  }
  const known = book.byFirst.get(first)
  if (known === undefined) book.byFirst.set(first, [frame])
  else {
    const twice = known.some((other) => other.ballot === ballot)
    demand(!twice, 'I4', `ballot ${ballot} has two frames at ${first}`)
    known.push(frame)
  }
  return frame
}

function openChunk(book: FrameBook, sizeBytes: number): void {
  book.chunk = new Uint8Array(Math.max(2 * CHUNK_BYTES, sizeBytes))
  book.view = new DataView(book.chunk.buffer)
  book.used = 0
}

/** Whether these bytes are the frame's. */
export function isFrame({ bytes, offset, sizeBytes }: Frame, range: Uint8Array, at: number) {
  return (
    Buffer.compare(
      range.subarray(at, at + sizeBytes),
      bytes.subarray(offset, offset + sizeBytes),
    ) === 0
  )
}
