/**
 * What must hold, by the ids of the reliability plan, and which of it cannot be shown yet, each
 * with its reason. The oracle throws a `Violation` that names one of these.
 */
export const INVARIANTS = {
  I1: 'at most one leader a ballot, also across restarts',
  I2: 'a promised ballot never falls; a promise is on the disk before it leaves',
  I3: 'who leads holds promises of the quorums it needs, on disks; those of a membership meet',
  I4: 'a slot once chosen never has another chosen value',
  I5: 'equal (slot, ballot) on two nodes: equal prefixes',
  I6: 'a leader holds every slot that lower ballots chose',
  I8: 'nothing is acknowledged or counted before it is on the disk',
  I9: 'a read has seen what its consistency promises; nobody leads while another has a lease',
  I10: 'the requests of a session are chosen at most once, in the order it sent them',
  I11: 'one change at a time; every node goes by its log; removed ids never return',
  I12: 'refused means never chosen, ok means chosen, all else is unknown',
  I13: 'bytes on a link are a message or a refusal; decode and encode are inverse',
  I15: 'a Logger applies nothing, never leads, never raises a ballot',
  I16: 'a learner never votes, counts or leads, and holds chosen entries only',
  I17: 'weight 0 never stands; leadership goes to more weight, and ends at the most there is',
  I18: 'what is announced lies on the disk of every armed forced member',
  I19: 'chosen and applied only grow, applied <= chosen; logs and state agree slot by slot',
  I20: 'a snapshot is what replay gives; no log goes that is needed without it',
  I21: 'a reader of the applied log gets each chosen entry once, in order',
  I22: 'a group is chosen without anything in it, up to its end or to an abort; no abort elsewhere',
  L1: 'a leader within four election timeouts of the heal',
  L2: 'ballots stop growing in a healed cluster',
  L3: 'what is submitted to a healed cluster is answered',
  L5: 'all nodes come to the same log',
  L6: 'no queue keeps what nobody needs',
  'no-panic': 'no assertion of the core, the codec or the WAL fails',
} as const

export type InvariantId = keyof typeof INVARIANTS

/** Not shown yet; a class or a mutant may not name them. */
export const PENDING_INVARIANTS: Readonly<Record<string, string>> = {
  I7: 'storage issue: reopening the image at every instant',
  I14: 'storage issue: rotten, misdirected and rolled-back disks',
  L4: 'storage issue: full disks',
}

export class Violation extends Error {
  override readonly name = 'Violation'
  readonly invariant: InvariantId

  constructor(invariant: InvariantId, message: string) {
    super(`${invariant}: ${message}`)
    this.invariant = invariant
  }
}

/** @throws Violation */
export function demand(condition: boolean, invariant: InvariantId, belief: string): void {
  if (!condition) throw new Violation(invariant, belief)
}
