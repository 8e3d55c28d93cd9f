/** What ingest keeps of one client, and what the frames of a client can be. Caller's thread. */
import type { ReplicaError } from '../base/errors.ts'
import { FRAME_FLAG_SESSIONS, FRAME_KIND, type FrameKind } from '../codec/frame.ts'

/** What the frames of a client are; a frame is of one shape, so that no entry asks for it. */
export interface FrameShape {
  readonly kind: FrameKind
  readonly flags: number
}
export const PLAIN_FRAMES: FrameShape = { kind: FRAME_KIND.entries, flags: 0 }
/** Entries of sessions, each with its mark. */
export const SESSION_FRAMES: FrameShape = { kind: FRAME_KIND.entries, flags: FRAME_FLAG_SESSIONS }
/** Commands to sessions: open, close, decide. */
export const COMMAND_FRAMES: FrameShape = { kind: FRAME_KIND.session, flags: FRAME_FLAG_SESSIONS }

/** Which entry of which session it is. */
export interface SessionMark {
  readonly session: number
  readonly sequence: number
}

/** One sequence of entries; made by `openClient`. Sequences start at 1. */
export interface IngestClient {
  readonly id: number
  readonly shape: FrameShape
  /** Sequence of the last entry taken. */
  submitted: number
  /** Everything through this sequence is chosen. */
  chosen: number
  /** Log index of the entry with sequence `chosen`. */
  chosenIndex: number
  /** Checksum over the frames that are chosen, and over those that are published (apply-check). */
  chosenFold: number
  publishedFold: number
  publishedThrough: number
  failure: ReplicaError | null
  /** Called when `chosen` rose, `failure` was set, or room appeared. */
  onProgress: () => void
  /** Called for each frame that is chosen, before onProgress, with the index of its last entry. */
  onSettled: ((sequenceThrough: number, index: number) => void) | null
}

export const createIngestClient = (
  id: number,
  onProgress: () => void,
  shape: FrameShape,
): IngestClient => ({
  id,
  shape,
  submitted: 0,
  chosen: 0,
  chosenIndex: 0,
  chosenFold: 0,
  publishedFold: 0,
  publishedThrough: 0,
  failure: null,
  onProgress,
  onSettled: null,
})
