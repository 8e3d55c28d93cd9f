/**
 * Frames that ingest has published and that are not chosen yet, and what their clients are told
 * when they are: part of the ingest stage, caller's thread.
 *
 * Invariant: clients are told in the order of publishing, so that a watermark covers all before it.
 */
import { createFifo, dropFirst, peekAt, pushTo, sizeOfFifo, takeAll } from '../base/fifo.ts'
import type { IngestClient } from './ingest-client.ts'

export interface PublishedFrame {
  readonly client: IngestClient
  readonly through: number // log index; 0 when not indexed
  readonly sequenceThrough: number
  readonly sizeBytes: number
  readonly fold: number
}

export interface Published {
  /** Of all frames here. */
  readonly sizeBytes: number
  /** Whether an open frame of so many entries should leave before the caller's turn ends. */
  takesEarly(count: number): boolean
  add(frame: PublishedFrame): void
  /** Everything through this index is chosen. @returns whose frames these were */
  settleThrough(index: number): ReadonlySet<IngestClient>
  /** Values may be chosen out of order: the watermark moves over what is contiguous. */
  settleOne(clientId: number, sequenceThrough: number, index: number): ReadonlySet<IngestClient>
  /** Nobody will be told any more. @returns whose frames there were */
  forget(): ReadonlySet<IngestClient>
}

/**
 * A turn of the caller that writes much does not wait for its end: while less than so many frames
 * are under way, each so many entries leave, and the log and the caller work side by side.
 */
const EARLY_ENTRIES = 256
const EARLY_FRAMES = 2

export function createPublished(): Published {
  const frames = createFifo<PublishedFrame>()
  const done = new Map<PublishedFrame, number>()
  let sizeBytes = 0
  const settle = (frame: PublishedFrame, index: number): void => {
    const { client } = frame
    sizeBytes -= frame.sizeBytes
    client.chosen = frame.sequenceThrough
    client.chosenIndex = index
    client.chosenFold = frame.fold
    client.onSettled?.(frame.sequenceThrough, index)
    dropFirst(frames, 1)
  }
  const find = (clientId: number, through: number): PublishedFrame | undefined => {
    for (let place = 0; place < sizeOfFifo(frames); place++) {
      const frame = peekAt(frames, place)!
      if (frame.client.id === clientId && frame.sequenceThrough === through) return frame
    }
    return undefined
  }
  return {
    get sizeBytes() {
      return sizeBytes
    },
    takesEarly: (count) => count % EARLY_ENTRIES === 0 && sizeOfFifo(frames) < EARLY_FRAMES,
    add(frame) {
      pushTo(frames, frame)
      sizeBytes += frame.sizeBytes
    },
    settleThrough(index) {
      const touched = new Set<IngestClient>()
      for (let head = peekAt(frames); head !== undefined; head = peekAt(frames)) {
        if (head.through > index) break
        settle(head, head.through)
        touched.add(head.client)
      }
      return touched
    },
    settleOne(clientId, sequenceThrough, index) {
      const touched = new Set<IngestClient>()
      const frame = find(clientId, sequenceThrough)
      if (frame === undefined) return touched
      done.set(frame, index)
      for (let head = peekAt(frames); head !== undefined; head = peekAt(frames)) {
        const at = done.get(head)
        if (at === undefined) break
        settle(head, at)
        touched.add(head.client)
        done.delete(head)
      }
      return touched
    },
    forget() {
      done.clear()
      sizeBytes = 0
      return new Set(takeAll(frames).map(({ client }) => client))
    },
  }
}
