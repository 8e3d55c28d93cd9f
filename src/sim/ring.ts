/**
 * Ring space as the core must think of it: a frame's bytes are gone as soon as nobody keeps them.
 * Harsher than a real ring, which gives space back from its head only: stages hold nothing here,
 * because an effect's bytes are taken when it is carried out. Pure; one owner.
 */
import type { FrameRef } from '../core/frame-ref.ts'
import type { Frame } from './frames.ts'

export interface RingFrame extends FrameRef {
  readonly content: Frame
  gone: boolean
}

export interface Ring {
  readonly number: number
  position: number
  readonly frames: RingFrame[]
}

export const createRing = (number: number): Ring => ({ number, position: 0, frames: [] })

/** `first` counts where the frame carries no index of its own (Basic Paxos: 0). */
export function place(ring: Ring, content: Frame): RingFrame {
  const { first, count, ballot, sizeBytes, headerCrc, continues, membership } = content
  const offset = ring.position
  ring.position += sizeBytes
  const end = (ring.position / 64) | 0
  const frame: RingFrame = {
    first,
    count,
    ballot,
    sizeBytes,
    headerCrc,
    continues,
    ring: ring.number,
    offset,
    end,
    kept: false,
    holds: 0,
    content,
    gone: false,
    ...(membership && { config: membership }),
  }
  ring.frames.push(frame)
  return frame
}

/** What is placed next does not adjoin what was placed before. */
export function skip(ring: Ring): void {
  ring.position += 64
}

/** Frees the head, or any frame, that nobody keeps. */
export function sweep(ring: Ring, everything: boolean): void {
  const { frames } = ring
  if (!everything) {
    let count = 0
    while (count < frames.length && !frames[count]!.kept) frames[count++]!.gone = true
    if (count > 0) frames.splice(0, count)
    return
  }
  let kept = 0
  for (const frame of frames) {
    if (frame.kept) frames[kept++] = frame
    else frame.gone = true
  }
  frames.length = kept
}
