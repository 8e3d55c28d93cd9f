/**
 * The judge's face: what the world tells whoever watches a run from outside the nodes. One judge an
 * engine (oracle.ts, basic-oracle.ts); each throws a Violation as soon as an invariant breaks.
 */
import type { CoreView } from '../core/engine.ts'
import type { Ballot, LogIndex } from '../core/ids.ts'
import type { Found } from './disk.ts'
import type { Frame } from './frames.ts'
import type { Stored } from './log.ts'
import type { MemberJudge } from './member-judge.ts'

/** A node as judges name it: by its place among the members. */
export type NodePlace = number

export interface Judge<M> {
  /** A record was ordered (written, not synced). */
  ordered(node: NodePlace, stored: Stored): void
  /** It is durable now; told in LSN order. */
  durable(node: NodePlace, stored: Stored): void
  /** Before a message leaves. */
  sent(node: NodePlace, to: NodePlace, message: M, frames: readonly Frame[]): void
  /** Before a message is given to a node whose view is `view`; `overtaken`: a later one was. */
  delivered(node: NodePlace, from: NodePlace, message: M, view: CoreView, overtaken: boolean): void
  chosen(node: NodePlace, through: LogIndex, chain: number): void
  applied(node: NodePlace, first: LogIndex, frames: readonly Frame[]): void
  led(node: NodePlace, life: number, ballot: Ballot, next: LogIndex): void
  /** After every step. */
  viewed(node: NodePlace, view: CoreView): void
  /** What is not durable is lost; `found` is what the restart reads. */
  restarted(node: NodePlace, found: Found): void
  /** Frames of the node's own log, or values by instance. */
  read(node: NodePlace, from: number, through: number, sizeBytesMax: number): Frame[]
  /** The greatest index through which everything is chosen. */
  readonly chosenThrough: number
  /** The request's frame is chosen, by what lies on disks. */
  isChosen(frame: Frame): boolean
  /** Changes and hand-overs; null where there are none. */
  readonly memberships: MemberJudge | null
}
