/**
 * The frames of a group whose end has not been applied yet (R38): part of the apply stage, on its
 * thread. Their bytes are copied, so that an open group holds no ring; nothing of them reaches the
 * session table or the state machine before the end is here, and nothing ever if that is an abort.
 *
 *     log    | plain | g1 continues | g2 continues | g3 last | plain |     applied after g3
 *     log    | plain | h1 continues | h2 continues | abort   | plain |     h1 and h2 are void
 *
 * Invariant: the frames of a group are neighbours in the log, of one client and one ballot of
 * birth; whatever else lay between them would be taken for a part of it.
 */
import { assert } from '../base/assert.ts'
import { FRAME_KIND, type FrameHeader, isContinued } from '../codec/frame.ts'
import type { FrameBytes } from './frame-batch.ts'

export interface HeldFrame {
  readonly log: FrameBytes
  /** Log index of its first entry. */
  readonly first: number
  readonly header: FrameHeader
}

export interface OpenGroup {
  /** In log order; empty: no group is open. */
  frames: HeldFrame[]
}

export const createOpenGroup = (): OpenGroup => ({ frames: [] })

/**
 * Takes the next frame while a group is open, or the one that opens it.
 * @returns the frames to apply now, none while the group goes on or when it is void
 */
export function takeOfGroup(
  group: OpenGroup,
  log: FrameBytes,
  at: number,
  first: number,
  header: Readonly<FrameHeader>,
): readonly HeldFrame[] {
  const { frames } = group
  if (header.kind !== FRAME_KIND.abort) {
    checkNext(frames.at(-1), first, header)
    frames.push({ log: copyOf(log, at, header.sizeBytes), first, header: { ...header } })
    if (isContinued(header.flags)) return NONE
  }
  group.frames = []
  return header.kind === FRAME_KIND.abort ? NONE : frames
}
const NONE: readonly HeldFrame[] = []

function checkNext(before: HeldFrame | undefined, first: number, header: Readonly<FrameHeader>) {
  if (before === undefined) return
  const { clientId, ballot, kind, count, clientSequence } = before.header
  const isNext = first === before.first + count && header.clientSequence === clientSequence + count
  const isSame = header.clientId === clientId && header.ballot === ballot && header.kind === kind
  assert(isNext && isSame, 'nothing comes between the frames of a group')
}

function copyOf({ bytes }: FrameBytes, at: number, sizeBytes: number): FrameBytes {
  const own = bytes.slice(at, at + sizeBytes)
  return { bytes: own, view: new DataView(own.buffer), words: new Int32Array(own.buffer) }
}
