/**
 * The judge of the cluster in an exploration: what is chosen by what lies on disks (chosen-log.ts),
 * and who led. Like a node it is a value that is never changed: notes of an action make a new one,
 * or are a violation. Pure.
 */
import { membershipOf } from '../../core/membership.ts'
import { createCoverage } from '../coverage.ts'
import type { Member } from '../../core/engine.ts'
import type { Ballot } from '../../core/ids.ts'
import {
  type ChosenLog,
  checkChosen,
  claim,
  createChosenLog,
  noteAdopted,
  noteVote,
} from '../chosen-log.ts'
import type { Frame } from '../frames.ts'
import { demand } from '../invariants.ts'
import { emptyLog } from '../log.ts'
import { copyOf } from './copy.ts'

/** What an action of one node means for the cluster, in order. */
export type Note =
  /** It ordered the commit of an accept-sync: its log is the ballot's, if it is the first. */
  | { readonly kind: 'adopted'; readonly ballot: Ballot; readonly frames: readonly Frame[] }
  /** It holds this log durably under a ballot (0: learned); from the place `from` on it is new. */
  | {
      readonly kind: 'vote'
      readonly ballot: Ballot
      readonly frames: readonly Frame[]
      readonly last: number
      readonly from: number
    }
  | { readonly kind: 'claim'; readonly ballot: Ballot; readonly through: number }
  | { readonly kind: 'accepts'; readonly ballot: Ballot }
  | { readonly kind: 'chosen'; readonly through: number; readonly chain: number }
  | { readonly kind: 'applied'; readonly frames: readonly Frame[] }
  | { readonly kind: 'led'; readonly ballot: Ballot }

export interface Ghost {
  readonly log: ChosenLog
  readonly leaders: Set<Ballot>
}

export const createGhost = (members: readonly Member[]): Ghost => ({
  log: createChosenLog(membershipOf(members), members.length, createCoverage()),
  leaders: new Set(),
})

/** One text for all that judge alike; `names[id]` is what a node is called in it. */
export function keyOfGhost({ log, leaders }: Ghost, names: readonly number[]): string {
  const ballots = [...log.ballots.values()].sort((a, b) => a.ballot - b.ballot)
  const parts = ballots.map(({ ballot, frames, votes, chosen }) => {
    const named = [...votes.keys()].map((place) => votes[names[place + 1]! - 1])
    return [ballot, chosen, serialsOf(frames), named.join()].join(' ')
  })
  return [...parts, serialsOf(log.frames), log.chosenIn.join(), [...leaders].sort().join()].join(
    '|',
  )
}

const serialsOf = (frames: readonly Frame[]): string => frames.map(({ serial }) => serial).join()

/** @throws Violation */
export function judge(before: Ghost, place: number, notes: readonly Note[]): Ghost {
  const ghost = copyOf(before)
  for (const note of notes) judgeNote(ghost, place, note)
  return ghost
}

function judgeNote({ log, leaders }: Ghost, place: number, note: Note): void {
  switch (note.kind) {
    case 'adopted':
      return noteAdopted(log, note.ballot, { ...emptyLog(), frames: [...note.frames] })
    case 'vote': {
      const { ballot, frames, last, from } = note
      if (ballot !== 0) {
        return noteVote(log, place, ballot, { ...emptyLog(), frames: [...frames], last }, from)
      }
      demand(last <= log.through, 'I16', 'a learner holds what is not chosen')
      for (const frame of frames) checkChosen(log, frame, 'I16')
      return
    }
    case 'claim':
      return claim(log, place, note.ballot, note.through)
    case 'accepts':
      return demand(log.ballots.has(note.ballot), 'I6', 'an accept leaves before the adoption (R7)')
    case 'chosen':
      demand(note.through <= log.through, 'I8', 'reported chosen before a quorum has it')
      return demand(log.chains.get(note.through) === note.chain, 'I5', 'equal index, other chain')
    case 'applied':
      for (const frame of note.frames) checkChosen(log, frame, 'I19')
      return
    case 'led':
      demand(!leaders.has(note.ballot), 'I1', `ballot ${note.ballot} is led twice`)
      leaders.add(note.ballot)
      return
  }
}
