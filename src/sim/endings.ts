/**
 * How a run ends. Safety: it just ends. Liveness: everything heals, faults are over, and the
 * members of the newest chosen membership must come to a leader within four election timeouts, to
 * the heaviest one that there is a while later, answer what is submitted, stop raising ballots and
 * agree. Who was removed has no part in it, but may disturb. Core: the same, but as many as can be
 * spared die first and stay away. Partial: the cut graph stays, and the
 * cluster must be writable within four election timeouts all the same.
 */
import type { Member } from '../core/engine.ts'
import { submit } from './clients.ts'
import { type Counter, cover } from './coverage.ts'
import { demand } from './invariants.ts'
import { mendAll } from './network.ts'
import { restart } from './ops.ts'
import { takeAway } from './away.ts'
import { LEADER } from './plan.ts'
import { mayLead, memberAt } from './rules.ts'
import type { Loop } from './run.ts'
import { type SimNode, type World, leaderOf } from './world.ts'
import { bend } from './clock.ts'

const LEADER_TIMEOUTS = 4
const SETTLE_TIMEOUTS = 8
/**
 * A hand-over by weight: ten in office, ten of them calm, one to drain and what orders take; then
 * the wait for a target that was tried before, which begins at ten and doubles six times at most.
 */
const HAND_OVER_TIMEOUTS = 26
const PENALTY_TIMEOUTS = 10
const PENALTY_DOUBLINGS_MAX = 6
const STEPS = 10
const STALL_SLACK_US = 20_000
const KEPT_FRAMES_MAX = 8
const QUEUE_MAX = 400
const BASIC_ROUNDS_MAX = 60
const BASIC_KEPT_MAX = 1_200

export function end<M>(world: World<M>, loop: Loop): void {
  const { ending, engine } = world.plan
  if (ending === 'safety') return
  if (ending === 'partial') return partial(world, loop)
  heal(world, loop)
  if (engine === 'basic-paxos') return basicLive(world, loop)
  if (ending === 'core') {
    awaitSettled(world, loop)
    // A change that the leader itself wants may wait behind others: nobody knows of it yet.
    const isIdle = (): boolean => ruler(world)?.leading?.next === world.judge.chosenThrough + 1
    demand(awaitProgress(world, loop, isIdle), 'L3', 'what was submitted is not chosen')
    takeAway(world)
  }
  live(world, loop)
}

const timeoutUs = <M>({ plan }: World<M>): number => {
  const slowest = Math.min(...plan.clocks.map(({ driftPpm }) => driftPpm), 0)
  return Math.ceil((plan.knobs.electionTimeoutMs * 1e9) / (1_000_000 + slowest))
}

/** Everything is repaired, and stays so. */
export function heal<M>(world: World<M>, loop: Loop): void {
  world.noisy = false
  for (const own of world.stages?.nodes ?? []) own.dozeUs = 0 // nobody falls asleep any more
  // A paused node works off its input in order and a stalled sync returns: neither is cut short.
  let until = world.nowUs
  for (const node of world.nodes) {
    until = Math.max(until, node.pausedUntilUs, node.stalledUntilUs + STALL_SLACK_US)
    node.syncFails = false
    bend(node.clock, world.nowUs, world.plan.clocks[node.place]!.driftPpm, 0)
  }
  for (const direction of world.network.directions) {
    direction.cloggedUntilUs = Math.min(direction.cloggedUntilUs, until)
  }
  loop(until)
  for (const node of world.nodes) {
    if (node.life > 0 || memberOf(world, node) !== undefined) restart(world, node)
  }
  mendAll(world)
}

/** What a node is in the newest chosen membership; undefined: no member. */
function memberOf<M>({ judge }: World<M>, { place, member }: SimNode<M>): Member | undefined {
  const { memberships } = judge
  return memberships === null ? member : memberAt(memberships.newest, place)
}

/** The members that the ending counts on. */
const membersOf = <M>(world: World<M>): SimNode<M>[] =>
  world.nodes.filter((node) => memberOf(world, node) !== undefined && !world.away.has(node.place))

/** Us until `done`; -1: not within the bound. */
function runUntilDone<M>(world: World<M>, loop: Loop, boundUs: number, done: () => boolean) {
  const startUs = world.nowUs
  const stepUs = world.plan.knobs.tickMs * 1_000
  while (!done()) {
    if (world.nowUs - startUs >= boundUs) return -1
    loop(world.nowUs + stepUs)
  }
  return world.nowUs - startUs
}

/** A leader that a quorum follows, seen from outside. */
export function ruler<M>(world: World<M>): SimNode<M> | undefined {
  const leader = leaderOf(world)
  if (leader === undefined) return undefined
  const { ballot } = leader.leading!
  const { voters, membership } = world.judge.memberships!.newest
  let count = 0
  for (const place of voters) {
    const { alive, driver } = world.nodes[place]!
    const { promised, acceptedBallot } = driver.view
    if (alive && promised === ballot && acceptedBallot === ballot) count += 1
  }
  const isRuling = count >= membership.acceptQuorum && mayLead(memberOf(world, leader))
  return isRuling ? leader : undefined
}

/** The bound starts again while a candidate still fetches its log. */
function awaitRuler<M>(world: World<M>, loop: Loop): boolean {
  const boundUs = LEADER_TIMEOUTS * timeoutUs(world)
  const progressOf = (): number => world.nodes.reduce((sum, { stored }) => sum + stored.length, 0)
  for (let before = -1; before !== progressOf();) {
    before = progressOf()
    if (runUntilDone(world, loop, boundUs, () => ruler(world) !== undefined) >= 0) return true
  }
  return false
}

/** A leader is there, and every order of an operator has its answer. */
function awaitSettled<M>(world: World<M>, loop: Loop): void {
  demand(awaitRuler(world, loop), 'L1', 'no leader within four election timeouts')
  const isSettled = (): boolean => world.orders.every(({ outcome }) => outcome !== 'open')
  demand(awaitProgress(world, loop, isSettled), 'L3', 'an order is not answered')
}

function live<M>(world: World<M>, loop: Loop): void {
  awaitSettled(world, loop)
  awaitHeaviest(world, loop)
  loop(world.nowUs + SETTLE_TIMEOUTS * timeoutUs(world))
  const ballots = ballotOf(world)
  const weight = weightOf(world)
  const before = world.requests.length
  const goal = world.judge.chosenThrough
  // A learner that has just become a voter has still to promise.
  demand(awaitRuler(world, loop), 'L1', 'the leader does not stay')
  // What a dead forced member holds back may fill the backlog until it is out of the rule.
  const admits = (): boolean => ask(world)
  for (let i = 0; i < 3; i++) {
    demand(awaitProgress(world, loop, admits), 'L3', 'the leader admits nothing')
  }
  const answered = (): boolean =>
    world.requests.slice(before).every(({ outcome }) => outcome === 'ok')
  demand(awaitProgress(world, loop, answered), 'L3', 'a request is not answered')
  const agreed = (): boolean => membersOf(world).every((node) => isLevel(world, node, goal))
  demand(awaitProgress(world, loop, agreed), 'L5', `nodes differ: ${levels(world)}`)
  const isStill = ballotOf(world) === ballots || weightOf(world) > weight
  demand(isStill, 'L2', `${ballots} grew to ${ballotOf(world)}`)
  loop(world.nowUs + 2 * timeoutUs(world))
  checkQueues(world, KEPT_FRAMES_MAX)
  for (const node of world.nodes) {
    if (memberOf(world, node)?.role === 'learner') cover(world.coverage, 'learner-caught-up')
  }
}

/** In a healthy cluster the most weight that there is ends up leading (I17, R20). */
function awaitHeaviest<M>(world: World<M>, loop: Loop): void {
  const weightAt = (node: SimNode<M>): number => {
    const member = memberOf(world, node)
    return mayLead(member) ? (member?.weight ?? 0) : 0
  }
  const most = (): number => Math.max(0, ...membersOf(world).map(weightAt))
  const leads = (): boolean => weightOf(world) === most()
  const triesMax = Math.max(0, ...world.nodes.map(({ handOvers }) => handOvers))
  const doublings = Math.min(triesMax + 1, PENALTY_DOUBLINGS_MAX)
  const penalty = triesMax === 0 ? 0 : PENALTY_TIMEOUTS * 2 ** doublings
  const bound = HAND_OVER_TIMEOUTS + penalty
  const isIn = awaitProgress(world, loop, leads, bound)
  demand(isIn, 'I17', `weight ${weightOf(world)} leads, and ${most()} is there`)
}

/** Ballots may grow once more when leadership goes to a heavier node (R20). */
function weightOf<M>(world: World<M>): number {
  const leader = leaderOf(world)
  return leader === undefined ? 0 : (memberOf(world, leader)?.weight ?? 0)
}

/** The highest one: a learner that begins to vote promises what the others have. */
const ballotOf = <M>(world: World<M>): number =>
  membersOf(world).reduce((max, { driver }) => Math.max(max, driver.view.promised), 0)

const levels = <M>(world: World<M>): string =>
  membersOf(world)
    .map(({ id, driver }) => `${id}: ${driver.view.chosen}`)
    .join()

function isLevel<M>(world: World<M>, { driver }: SimNode<M>, goal: number): boolean {
  const { chosen, last } = driver.view
  return chosen > goal && chosen === world.judge.chosenThrough && last === chosen
}

function ask<M>(world: World<M>): boolean {
  const leader = ruler(world)
  if (leader === undefined) return false
  const op = { kind: 'submit', atUs: 0, session: 0, count: 2, payloadSizeBytes: 8 } as const
  return submit(world, { ...op, node: leader.place })
}

/** True when `done` comes true; the bound starts again while any log grows (small windows). */
function awaitProgress<M>(
  world: World<M>,
  loop: Loop,
  done: () => boolean,
  timeouts = STEPS,
): boolean {
  const growth = (): number =>
    membersOf(world).reduce(
      (sum, { alive, driver, stored }) => sum + (alive ? driver.view.chosen : 0) + stored.length,
      0,
    )
  for (let before = -1; before !== growth();) {
    before = growth()
    if (runUntilDone(world, loop, timeouts * timeoutUs(world), done) >= 0) return true
  }
  return false
}

function checkQueues<M>(world: World<M>, keptMax: number): void {
  const kept = membersOf(world).map(({ rings }) =>
    rings.reduce((sum, { frames }) => sum + frames.filter((frame) => frame.kept).length, 0),
  )
  demand(Math.max(...kept) <= keptMax, 'L6', `frames kept in rings: ${kept.join()}`)
  demand(world.queue.size <= QUEUE_MAX, 'L6', `${world.queue.size} things to come`)
}

/** Writable within four election timeouts while the graph stays cut; then it must heal as well. */
function partial<M>(world: World<M>, loop: Loop): void {
  const goal = world.judge.chosenThrough
  const first = world.requests.length
  const boundUs = LEADER_TIMEOUTS * timeoutUs(world)
  const writable = (): boolean => {
    submit(world, {
      kind: 'submit',
      atUs: 0,
      session: 1,
      count: 1,
      payloadSizeBytes: 8,
      node: LEADER,
    })
    const fresh = world.requests.slice(first)
    return world.judge.chosenThrough > goal && fresh.some(({ outcome }) => outcome === 'ok')
  }
  const tookUs = runUntilDone(world, loop, boundUs, writable)
  demand(tookUs >= 0, 'L1', `not writable in a ${world.plan.graph} graph`)
  cover(world.coverage, `partial-${world.plan.graph!}-solved` satisfies Counter)
  const ballots = ballotOf(world)
  loop(world.nowUs + 2 * boundUs)
  const settled = ballotOf(world)
  const weight = weightOf(world)
  loop(world.nowUs + 2 * boundUs)
  const isStill = ballotOf(world) === settled || weightOf(world) > weight
  demand(isStill, 'L2', `ballots grow: ${ballots}, ${settled}`)
  heal(world, loop)
  live(world, loop)
}

/** A value now and then fills the gaps that nobody had a value for. */
function basicLive<M>(world: World<M>, loop: Loop): void {
  const roundUs = 5 * timeoutUs(world)
  const ask = (): void => {
    for (const node of world.nodes) {
      const op = { kind: 'submit', atUs: 0, session: 0, count: 1, payloadSizeBytes: 8 } as const
      submit(world, { ...op, node: node.place })
    }
  }
  ask()
  for (let round = 1; round <= BASIC_ROUNDS_MAX; round++) {
    loop(world.nowUs + roundUs)
    if (isSettled(world)) return checkQueues(world, BASIC_KEPT_MAX)
    if (round % 8 === 0) ask()
  }
  const open = world.requests.filter(({ outcome }) => outcome === 'pending').length
  demand(open === 0, 'L3', `${open} requests are not answered`)
  demand(isSettled(world), 'L5', `nodes differ: ${levels(world)}`)
}

const isSettled = <M>({ nodes, requests, judge }: World<M>): boolean =>
  nodes.every(({ driver }) => driver.view.chosen === judge.chosenThrough) &&
  requests.every(({ outcome }) => outcome !== 'pending')
