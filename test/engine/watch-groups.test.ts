/**
 * Watches and groups (R38): who watches is told all of a group once it has ended, and of an aborted
 * one nothing, however frames are cut into orders, whoever dies.
 */
import { expect, test } from 'vitest'
import {
  LIST_MODULE,
  failing,
  openCluster,
  proposeAgain,
  temporaryFolder,
  text,
  textOf,
  until,
} from '../support/engine.ts'
import { below, between, chance, createRandom } from '../support/random.ts'
import { type Consumer, consume, indexesOf, show } from '../support/watch.ts'
import { type LabFrame, openWatchLab, seenFrom, settle, turn } from '../support/watch-lab.ts'

const more = (...payloads: string[]): LabFrame => ({ payloads, of: 'group' })
const plain = (...payloads: string[]): LabFrame => ({ payloads })
const ABORT: LabFrame = { payloads: [''], of: 'abort' }

/** As orders: all frames in one, or each in its own. */
const CUTS = {
  together: (frames: readonly LabFrame[]) => [frames],
  apart: (frames: readonly LabFrame[]) => frames.map((frame) => [frame]),
} as const
const CUT_NAMES = ['together', 'apart'] as const

// ---- One node ----------------------------------------------------------------------------------

test.each(CUT_NAMES)('frames %s: a group is told with its results, in its place', async (cut) => {
  const lab = openWatchLab()
  const { events } = consume(lab.watch())
  const frames = [plain('x'), more('a', 'b'), more('c'), plain('d'), plain('y'), plain('z')]
  for (const order of CUTS[cut](frames)) lab.applyFrames(...order)
  await settle(lab)
  const told = ['1:x', '2:a', '3:b', '4:c', '5:d', '6:y', '7:z']
  expect(events.map(show)).toEqual(told)
  const results = ['x', 'a', 'b', 'c', 'd', 'y', 'z'].map((payload) => `re ${payload}`)
  expect(events.map(({ result }) => textOf(result ?? null))).toEqual(results)
  expect(lab.state.reads).toBe(0) // all of it was fed
  const late = consume(lab.watch({ from: 3 }))
  await settle(lab)
  expect(late.events.map(show)).toEqual(told.slice(2))
})

test.each(CUT_NAMES)('frames %s: nothing is told of an aborted group, ever', async (cut) => {
  const lab = openWatchLab()
  const { events } = consume(lab.watch())
  const frames = [plain('x'), more('a', 'b'), more('c'), ABORT, plain('y'), more('e'), plain('f')]
  for (const order of CUTS[cut](frames)) lab.applyFrames(...order)
  await settle(lab)
  const told = ['1:x', '6:y', '7:e', '8:f']
  expect(events.map(show)).toEqual(told)
  expect(lab.state.reads).toBe(0)
  for (const from of [1, 2, 3, 5]) {
    const late = consume(lab.watch({ from }))
    await settle(lab)
    expect(late.events.map(show)).toEqual(from === 1 ? told : told.slice(1))
  }
})

test('while a group is open nothing of it is told, to new watches neither', async () => {
  const lab = openWatchLab()
  const early = consume(lab.watch({ from: 1 }))
  lab.applyFrames(plain('x'), more('a', 'b'))
  lab.applyFrames(more('c'))
  const starts = [{}, { from: 1 }, { from: 3 }, { from: 9 }]
  const late = starts.map((start) => consume(lab.watch(start)))
  await settle(lab)
  expect([early, ...late].map(({ events }) => events.map(show))).toEqual([
    ['1:x'],
    [],
    ['1:x'],
    [],
    [],
  ])
  // What it has told so far: a node that goes on from here misses nothing of the group.
  expect(early.watch.token.index).toBe(1)
  lab.applyFrames(plain('d'), plain('y'))
  await settle(lab)
  expect([early, ...late].map(({ events }) => indexesOf(events))).toEqual([
    [1, 2, 3, 4, 5, 6],
    [2, 3, 4, 5, 6],
    [1, 2, 3, 4, 5, 6],
    [3, 4, 5, 6],
    [],
  ])
})

test('a watch opened within a group that is aborted is told what comes behind', async () => {
  const lab = openWatchLab()
  lab.applyFrames(plain('x'), more('a'))
  const { events, watch } = consume(lab.watch())
  await settle(lab)
  lab.applyFrames(ABORT)
  await settle(lab)
  expect([events, watch.token.index]).toEqual([[], 3])
  lab.applyFrames(plain('y'))
  await settle(lab)
  expect(events.map(show)).toEqual(['4:y'])
})

test('a group that finds no room at the caller is read from the log', async () => {
  const lab = openWatchLab({ feedRingBytes: 2 ** 13 })
  const { events } = consume(lab.watch())
  await settle(lab)
  lab.applyFrames(more('before'))
  lab.applyFrames(ABORT)
  for (let i = 0; i < 40; i++) lab.applyFrames(more(`${String(i)} `.padEnd(400, '.')))
  lab.applyFrames(plain('end'))
  await settle(lab)
  expect(events.map(show)).toEqual(seenFrom(lab, 1))
  expect(events).toHaveLength(41)
  expect(lab.state.reads).toBeGreaterThan(0)
})

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  'seed %i: each watch is told what the state machine was given, in any cut',
  async (seed) => {
    const random = createRandom(seed)
    const lab = openWatchLab({
      feedRingBytes: 2 ** between(random, 13, 15),
      feedCells: 2 ** between(random, 4, 6),
    })
    const consumers: (Consumer & { readonly from: number })[] = []
    const order: LabFrame[] = []
    let isOpen = false
    for (let step = 0; step < 200; step++) {
      const payloads = [`${String(step)}.0`.padEnd(below(random, 300), 'x'), `${String(step)}.1`]
      const isAbort: boolean = isOpen && chance(random, 200)
      isOpen = !isAbort && chance(random, 600)
      order.push(isAbort ? ABORT : isOpen ? more(...payloads) : plain(...payloads))
      if (chance(random, 400)) lab.applyFrames(...order.splice(0))
      if (chance(random, 100)) {
        const from = between(random, 1, lab.state.last + 3)
        consumers.push({ ...consume(lab.watch({ from })), from })
      }
      if (chance(random, 300)) lab.callerWorks()
      if (chance(random, 300)) lab.answerReads(between(random, 1, 3))
      if (chance(random, 300)) await turn()
    }
    lab.applyFrames(...order, plain('end'))
    await settle(lab)
    expect(lab.applied.length).toBeLessThan(lab.state.last)
    for (const { events, from } of consumers) {
      expect(events.map(show)).toEqual(seenFrom(lab, from))
    }
  },
)

// ---- A cluster ---------------------------------------------------------------------------------

test('a leader killed within a group: no node tells any of it, then or later', async () => {
  const options = {
    ...{ dataDir: temporaryFolder(), stateMachine: LIST_MODULE, layout: 'split' as const },
    // A frame an entry, one at a time over a slow link: a group takes many round trips.
    ...{ emulation: { rttMs: 10 }, tuning: { batchEntriesMax: 1, pipelineDepth: 1 } },
  }
  const cluster = await openCluster(options)
  const leader = await cluster.leader()
  const others = cluster.nodes.filter((node) => node !== leader)
  const before = await leader.proposeGroup(['a', 'b', 'c'].map(text))
  const early = others.map((node) => consume(node.watch({ from: 1 })))
  const group = failing(leader.proposeGroup(Array.from({ length: 400 }, () => text('lost'))))
  const { index } = before[2]!
  await until('part of it is chosen', () => others[0]!.status().chosen > index + 5)
  const within = others.map((node) => consume(node.watch()))
  await leader.kill()
  await group
  const after = await proposeAgain(cluster, 'after')
  const told = [...before.map((one) => one.index), after.index]
  for (const { events } of early) {
    await until('all is told', () => events.at(-1)?.index === after.index)
    expect(indexesOf(events)).toEqual(told)
  }
  for (const { events } of within) {
    await until('all is told', () => events.at(-1)?.index === after.index)
    expect(indexesOf(events)).toEqual([after.index])
  }
  await cluster.close()
  // From the logs, the killed one's too: they are executed again from their start.
  const again = await openCluster(options)
  for (const node of again.nodes) {
    const { events } = consume(node.watch({ token: { ...before[0]!.token, index: 0 } }))
    await until('all is told', () => events.at(-1)?.index === after.index)
    expect(indexesOf(events)).toEqual(told)
  }
})
