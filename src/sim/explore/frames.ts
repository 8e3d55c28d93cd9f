/**
 * The frames of an exploration: one a (ballot of birth, first index), whoever asks, so that equal
 * histories hold equal frames. Real bytes, made by the arena of the simulator. One object is what
 * the core holds and what the judge compares. Owned by one exploration.
 *
 * Invariant: no two adjoin, so every message and every order to apply carries exactly one.
 */
import type { FrameRef } from '../../core/frame-ref.ts'
import type { Ballot } from '../../core/ids.ts'
import { type Frame, createArena, makeFrame } from '../frames.ts'

export type ExploredFrame = FrameRef & Frame & { readonly config?: never }
export type Frames = (ballot: Ballot, first: number) => ExploredFrame

const SERIALS_PER_BALLOT = 1_000

export function createFrames(count: number): Frames {
  const arena = createArena()
  const known = new Map<string, ExploredFrame>()
  const ballots: Ballot[] = []
  const make = (ballot: Ballot, first: number): ExploredFrame => {
    if (!ballots.includes(ballot)) ballots.push(ballot)
    const spec = { first, count, ballot, payloadSizeBytes: 4, payloadOf: null }
    const content = makeFrame(arena, { ...spec, session: 1, sessionSequence: first })
    // Not in the order of making: a later history may submit what an earlier one skipped.
    const serial = SERIALS_PER_BALLOT * ballots.indexOf(ballot) + first
    const ref = { ring: known.size, end: 0, kept: false, holds: 0 }
    return { ...content, serial, ...ref } as ExploredFrame
  }
  return (ballot, first) => {
    const name = `${ballot} ${first}`
    const frame = known.get(name) ?? make(ballot, first)
    known.set(name, frame)
    return frame
  }
}

/** What the core was given, it gives back. */
export const contentsOf = (frames: readonly FrameRef[]): readonly ExploredFrame[] =>
  frames as readonly ExploredFrame[]
