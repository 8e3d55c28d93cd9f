/**
 * The explorer: small scopes hold no violation, each planted fault is found in its scope, and the
 * exploration itself is what it says: every world once, the same each time, nothing shared.
 */
import { expect, test } from 'vitest'
import { exploreScope } from '../../src/sim/campaign.ts'
import { runExploration, runPath } from '../../src/sim/explore/explore.ts'
import { keyOfNode } from '../../src/sim/explore/key.ts'
import { createLab } from '../../src/sim/explore/lab.ts'
import { EXPLORER_MUTANTS } from '../../src/sim/explore/mutants.ts'
import { type Scope, SCOPES, scopeIn } from '../../src/sim/explore/scope.ts'
import { search } from '../../src/sim/explore/search.ts'
import { type World, actionsOf, firstWorld, take } from '../../src/sim/explore/world.ts'

const ALL = { depthMax: 1_000, statesMax: 1_000_000, budgetS: null }
const bounds = { depthMax: 1_000, statesMax: 1_000_000, isOver: () => false }

test.each(['pair', 'led', 'chunks', 'learner', 'blank'])(
  'scope %s: nothing it allows violates an invariant',
  (scope) => {
    const { violation, isComplete, states } = runExploration({ scope, ...ALL })
    expect(violation?.message).toBeUndefined()
    expect(isComplete).toBe(true)
    expect(states).toBeGreaterThan(400)
  },
)

/** Of mutants.ts: seeds meet them too, after hundreds of schedules. */
const SELDOM = [
  { name: 'adopt-own-log-always', invariant: 'I6', scope: 'led' },
  { name: 'no-min-in-sync-point', invariant: 'I5', scope: 'led' },
  { name: 'chosen-believed-in-any-state', invariant: 'I5', scope: 'rounds' },
  { name: 'sync-commits-with-first-chunk', invariant: 'no-panic', scope: 'chunks' },
]

test.each([...SELDOM, ...EXPLORER_MUTANTS])(
  '$name is found in $scope, and without it the path violates nothing',
  async ({ name, scope, invariant, ...mutant }) => {
    const { violation } = await exploreScope({ scope, ...ALL }, name)
    const allowed = [invariant, ...('also' in mutant ? mutant.also : [])]
    expect(allowed).toContain(violation?.invariant)
    expect(runPath({ scope, path: violation!.path }).violation).toBeNull()
  },
)

test('an exploration is the same each time', () => {
  const once = runExploration({ scope: 'chunks', ...ALL })
  const again = runExploration({ scope: 'chunks', ...ALL })
  expect({ ...again, durationS: 0 }).toEqual({ ...once, durationS: 0 })
})

test('the bounds hold: depth, and states', () => {
  const shallow = runExploration({ scope: 'led', ...ALL, depthMax: 5 })
  expect(shallow).toMatchObject({ depth: 5, isComplete: false, violation: null })
  const few = runExploration({ scope: 'led', ...ALL, statesMax: 100 })
  expect(few.isComplete).toBe(false)
  expect(few.states).toBeLessThan(200)
})

test('an action leaves the node it began with as it was', () => {
  const scope = scopeIn('pair,crashes=1') as Scope
  const lab = createLab(scope)
  const [names] = lab.permutations
  const root = firstWorld(lab)
  let layer: World[] = root.kind === 'world' ? [root.world] : []
  for (let depth = 0; depth < 7; depth++) {
    const next: World[] = []
    for (const world of layer) {
      for (const action of actionsOf(lab, world)) {
        const before = world.nodes.map((number) => keyOfNode(lab.nodes.values[number]!, names!))
        const step = take(lab, world, action)
        const after = world.nodes.map((number) => keyOfNode(lab.nodes.values[number]!, names!))
        expect(after).toEqual(before)
        if (step.kind === 'world') next.push(step.world)
      }
    }
    layer = next
  }
  expect(layer.length).toBeGreaterThan(100)
})

test('nodes that never stand and are of one kind may change places, and no others', () => {
  const alike = scopeIn('lives,crashes=0') as Scope
  const [first, second, third] = alike.members
  const logger = { ...third!, role: 'logger' } as const
  const unlike: Scope = { ...alike, members: [first!, second!, logger] }
  expect(createLab(alike).permutations).toHaveLength(2)
  expect(createLab(unlike).permutations).toHaveLength(1)
  const merged = search(alike, bounds)
  const whole = search(unlike, bounds)
  expect(merged.isComplete && whole.isComplete).toBe(true)
  expect(merged.states).toBeLessThan(0.6 * whole.states)
  expect(merged.states).toBeGreaterThan(0.5 * whole.states)
})

test.each([
  ['storm', `want one of ${Object.keys(SCOPES).join(', ')}`],
  ['led,speed=1', 'speed=1: want led|suffix|'],
  ['led,entries=x', 'entries=x: want led|suffix|'],
])('%s is no scope', (text, problem) => {
  const found = scopeIn(text)
  expect('problem' in found && found.problem).toContain(problem)
})

test('a scope with other bounds is the named one but for these', () => {
  const { bounds: changed, ...rest } = scopeIn('led,entries=2,crashes=1') as Scope
  const { bounds: named, ...same } = SCOPES['led']!
  expect(rest).toEqual(same)
  expect(changed).toEqual({ ...named, entries: 2, crashes: 1 })
})
