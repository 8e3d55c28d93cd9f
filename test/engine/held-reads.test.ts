/**
 * What a reader's reads wait for: that its watches have told what the read has seen. Over a real
 * apply stage, on one thread; a read here is one whose answer, with an index, has just arrived.
 */
import { expect, test } from 'vitest'
import { ReplicaError } from '../../src/engine/index.ts'
import type { ReadScope } from '../../src/engine/held-reads.ts'
import { codeOf } from '../support/engine.ts'
import { type WatchLab, openWatchLab, settle, turn } from '../support/watch-lab.ts'

/** Adds `name` to the notes when the read ends, or `name code`. */
function read(
  lab: WatchLab,
  notes: string[],
  name: string,
  index: number,
  options: { scope?: ReadScope; signal?: AbortSignal } = {},
): void {
  const { scope = lab.scope, signal } = options
  lab.held.enter({
    ...{ scope, index, signal, timeoutMs: 100, deadline: lab.state.now + 100 },
    resolve: () => void notes.push(name),
    reject: (error) => void notes.push(`${name} ${codeOf(error)}`),
  })
}

/** Notes the index of each event, by a consumer that does no more. */
function follow(lab: WatchLab, notes: string[], from: number): void {
  void (async () => {
    for await (const { index } of lab.watch({ from })) notes.push(String(index))
  })().catch((error: unknown) => notes.push(codeOf(error)))
}

test('a reader without watches waits for nothing', () => {
  const lab = openWatchLab()
  const notes: string[] = []
  read(lab, notes, 'read', 5)
  expect(notes).toEqual(['read'])
})

test('a read comes behind every event it has seen, and behind what is done with it', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  follow(lab, notes, 1)
  await settle(lab)
  lab.apply('a', 'b')
  lab.apply('c')
  lab.callerWorks()
  read(lab, notes, 'read 3', 3)
  lab.apply('d')
  read(lab, notes, 'read 4', 4)
  await turn()
  expect(notes).toEqual(['1', '2', '3', 'read 3'])
  await settle(lab)
  expect(notes).toEqual(['1', '2', '3', 'read 3', '4', 'read 4'])
})

test('a watch that catches up holds the reads until it has told all they have seen', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  for (let i = 0; i < 9; i++) lab.apply('x')
  follow(lab, notes, 1)
  read(lab, notes, 'read', 9)
  read(lab, notes, 'old', 4)
  for (let i = 0; i < 3; i++) {
    await turn()
    lab.answerReads(3)
    lab.callerWorks()
  }
  await settle(lab)
  expect(notes).toEqual(['1', '2', '3', '4', '5', '6', 'old', '7', '8', '9', 'read'])
})

test('what had no effect, or lies before the start of a watch, holds nothing', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  follow(lab, notes, 1)
  follow(lab, notes, 99)
  lab.apply('a')
  lab.applyMarked([[7, 1, 'of no session']])
  await settle(lab)
  read(lab, notes, 'read', 2)
  await settle(lab)
  expect(notes).toEqual(['1', 'read'])
})

test('a consumer that reads in its loop waits for nobody, least of all for itself', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  const loop = (async () => {
    for await (const { index } of lab.watch({ from: 1 })) {
      notes.push(String(index))
      await new Promise<void>((resolve) => {
        lab.held.enter({
          ...{ scope: lab.scope, index: 3, signal: undefined, timeoutMs: 100 },
          ...{ deadline: 100, resolve, reject: () => undefined },
        })
      })
      notes.push(`read in ${index}`)
      if (index === 3) return
    }
  })()
  lab.apply('a', 'b', 'c')
  await settle(lab)
  await loop
  expect(notes).toEqual(['1', 'read in 1', '2', 'read in 2', '3', 'read in 3'])
})

test('a watch that nobody reads from holds nothing, and tells all of it later', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  const watch = lab.watch({ from: 1 })
  lab.apply('a')
  await settle(lab)
  read(lab, notes, 'read', 1)
  await settle(lab)
  expect(notes).toEqual(['read'])
  const next = watch.next()
  await settle(lab)
  expect((await next).value?.index).toBe(1)
})

test('watches of another reader hold nothing', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  const other = lab.side.scope()
  void other.open({ from: 1 }).next()
  lab.apply('a')
  read(lab, notes, 'read', 1)
  expect(notes).toEqual(['read'])
  read(lab, notes, 'held', 1, { scope: other })
  await turn()
  expect(notes).toEqual(['read'])
  await settle(lab)
  expect(notes).toEqual(['read', 'held'])
})

test('until it is known where a watch starts, it holds what comes', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  lab.apply('a')
  const watch = lab.watch()
  read(lab, notes, 'read', 1)
  await turn()
  expect(notes).toEqual([])
  await settle(lab)
  expect(notes).toEqual(['read'])
  await watch.return()
})

test('a watch that ends lets go of the reads', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  lab.apply('a')
  const watch = lab.watch({ from: 1 })
  void watch.next()
  read(lab, notes, 'read', 1)
  await turn()
  expect(notes).toEqual([])
  await watch.return()
  await turn()
  expect(notes).toEqual(['read'])
})

test('a held read ends with its time, its signal, or the node', async () => {
  const lab = openWatchLab()
  const notes: string[] = []
  lab.apply('a')
  void lab
    .watch({ from: 1 })
    .next()
    .catch(() => undefined)
  const controller = new AbortController()
  const { signal } = controller
  read(lab, notes, 'aborted', 1, { signal })
  read(lab, notes, 'late', 1)
  controller.abort()
  read(lab, notes, 'aborted before', 1, { signal })
  expect(notes).toEqual(['aborted E_ABORTED', 'aborted before E_ABORTED'])
  lab.state.now = 100
  lab.held.doWork()
  expect(notes.splice(0)).toHaveLength(3)
  read(lab, notes, 'closed', 1)
  lab.held.fail(new ReplicaError('E_CLOSED', 'closed', { what: 'node' }))
  expect(notes).toEqual(['closed E_CLOSED'])
  await settle(lab)
  expect(notes).toHaveLength(1)
})
