/**
 * Watches over a real apply stage, on one thread and without clocks: what each is told, what they
 * share, what a slow one costs, and every refusal. Real clusters are in watch.test.ts.
 */
import { expect, test } from 'vitest'
import { FRAME_KIND } from '../../src/codec/frame.ts'
import { COMMAND } from '../../src/stages/session-bytes.ts'
import { codeOf, failing, textOf } from '../support/engine.ts'
import { consume, indexesOf, show } from '../support/watch.ts'
import { openWatchLab, seenFrom, settle } from '../support/watch-lab.ts'

// ---- What is told ----------------------------------------------------------------------------

test('a watch without a start is told what is applied from now on, with results', async () => {
  const lab = openWatchLab({ reply: (payload) => (payload === 'mute' ? null : `re ${payload}`) })
  lab.apply('before')
  const { events } = consume(lab.watch())
  lab.apply('a', 'mute')
  lab.apply('b')
  await settle(lab)
  expect(events.map(show)).toEqual(['2:a', '3:mute', '4:b'])
  expect(events.map(({ result }) => textOf(result ?? null))).toEqual(['re a', null, 're b'])
  expect(events[1]!.result).toBeNull()
  expect(lab.state.reads).toBe(0)
})

test('a watch from an older index is read from the log, and goes on with what is fed', async () => {
  const lab = openWatchLab()
  for (let i = 1; i <= 10; i++) lab.apply(`a${i}`, `b${i}`)
  const { events } = consume(lab.watch({ from: 4 })) // in the middle of a frame
  await settle(lab)
  lab.apply('new')
  await settle(lab)
  expect(events.map(show)).toEqual(seenFrom(lab, 4))
  expect(events[0]!.result).toBeUndefined() // the log keeps no results
  expect(textOf(events.at(-1)!.result!)).toBe('re new')
})

test('by a token it goes on behind what the token has seen', async () => {
  const lab = openWatchLab()
  lab.apply('a', 'b', 'c')
  const first = lab.watch({ from: 1 })
  const next = first.next()
  await settle(lab)
  expect((await next).value!.index).toBe(1)
  await first.return()
  expect(first.token).toEqual({ cluster: 'lab', epoch: 0, index: 1 })
  const { events } = consume(lab.watch({ token: first.token }))
  await settle(lab)
  expect(indexesOf(events)).toEqual([2, 3])
})

test('entries without effect are not told: repeats, gaps, strangers, commands', async () => {
  const lab = openWatchLab()
  const live = consume(lab.watch())
  lab.applyMarked([[0, 0, String.fromCharCode(COMMAND.open)]], FRAME_KIND.session)
  const id = lab.state.last
  lab.applyMarked([
    [id, 1, 'one'],
    [id, 1, 'one'],
    [id, 2, 'two'],
    [id, 7, 'ahead'],
    [99, 1, 'stranger'],
  ])
  lab.apply('plain')
  lab.applyMarked([[id, 2, 'two']])
  lab.applyMarked([[id, 3, 'three']])
  await settle(lab)
  const late = consume(lab.watch({ from: 1 }))
  await settle(lab)
  const expected = ['2:one', '4:two', '7:plain', '9:three']
  expect(live.events.map(show)).toEqual(expected)
  expect(late.events.map(show)).toEqual(expected)
  expect(live.events.map(({ session }) => session)).toEqual([
    { id, sequence: 1 },
    { id, sequence: 2 },
    null,
    { id, sequence: 3 },
  ])
})

test('what had no effect still moves the token: nobody looks at it twice', async () => {
  const lab = openWatchLab()
  const watch = lab.watch({ from: 1 })
  const { events } = consume(watch)
  lab.applyMarked([[99, 1, 'stranger']])
  lab.applyMarked([[99, 2, 'stranger']])
  await settle(lab)
  expect([events, watch.token.index]).toEqual([[], 2])
})

test('several next() at once are answered in order; return ends those that wait', async () => {
  const lab = openWatchLab()
  const watch = lab.watch({ from: 1 })
  const three = [watch.next(), watch.next(), watch.next()]
  lab.apply('a', 'b')
  await settle(lab)
  await watch.return()
  const results = await Promise.all(three)
  expect(results.map(({ value }) => value?.index)).toEqual([1, 2, undefined])
  expect(await watch.next()).toEqual({ done: true, value: undefined })
})

test("an event is the consumer's own: what he does to it changes nobody else's", async () => {
  const lab = openWatchLab()
  const [a, b] = [lab.watch(), lab.watch()].map(consume)
  lab.apply('abc')
  await settle(lab)
  a!.events[0]!.payload.fill(0)
  a!.events[0]!.result!.fill(0)
  expect([show(b!.events[0]!), textOf(b!.events[0]!.result!)]).toEqual(['1:abc', 're abc'])
})

// ---- What they share, and what a slow one costs -----------------------------------------------

test('thirty watches cost the apply stage one copy of each order', async () => {
  const lab = openWatchLab({ feedCells: 256 })
  const consumers = Array.from({ length: 30 }, () => consume(lab.watch()))
  for (let i = 0; i < 10; i++) lab.apply(`e${i}`)
  await settle(lab)
  for (const { events } of consumers) expect(events.map(show)).toEqual(seenFrom(lab, 1))
  expect([lab.state.copies, lab.state.reads]).toEqual([10, 0])
})

test('more watches at once than their ring takes are told the same', async () => {
  const lab = openWatchLab()
  lab.apply('before')
  const consumers = Array.from({ length: 100 }, () => consume(lab.watch()))
  lab.apply('behind')
  await settle(lab)
  for (const { events } of consumers) expect(events.map(show)).toEqual(['2:behind'])
})

test('watches that stand at the same place share what is read for one of them', async () => {
  const lab = openWatchLab()
  for (let i = 0; i < 9; i++) lab.apply(`e${i}`)
  const consumers = Array.from({ length: 100 }, () => consume(lab.watch({ from: 1 })))
  await settle(lab)
  for (const { events } of consumers) expect(events.map(show)).toEqual(seenFrom(lab, 1))
  expect(lab.state.reads).toBe(3) // of three frames each
})

test('a consumer that stays away is left behind, and served from the log later', async () => {
  const lab = openWatchLab({ feedRingBytes: 2 ** 23 })
  const slow = lab.watch({ from: 1 })
  const fast = consume(lab.watch({ from: 1 }))
  const large = 'x'.repeat(2 ** 16)
  for (let i = 0; i < 100; i++) {
    lab.apply(`${i} ${large}`)
    await settle(lab)
  }
  expect(fast.events.length).toBe(100)
  expect(lab.state.reads).toBe(0)
  const { events } = consume(slow)
  await settle(lab)
  expect(indexesOf(events)).toEqual(indexesOf(fast.events))
  expect(lab.state.reads).toBeGreaterThan(0) // what is kept for all is bounded
})

test("what the caller's rings cannot take is read back: no gap, no repeat", async () => {
  const lab = openWatchLab({ feedRingBytes: 2 ** 12, feedCells: 8 })
  const { events } = consume(lab.watch({ from: 1 }))
  for (let i = 0; i < 30; i++) lab.apply(`${i} ${'x'.repeat(i * 10)}`) // the caller is blocked
  await settle(lab)
  lab.apply('on')
  await settle(lab)
  expect(events.map(show)).toEqual(seenFrom(lab, 1))
  expect(lab.state.reads).toBeGreaterThan(0)
})

test('nothing is fed while nobody watches, or nobody comes', async () => {
  const lab = openWatchLab({ feedRingBytes: 2 ** 23 })
  lab.apply('a')
  await settle(lab)
  expect(lab.desk.replies.isOn).toBe(false)
  const watch = lab.watch()
  await settle(lab)
  expect(lab.desk.replies.isOn).toBe(true)
  const large = 'x'.repeat(2 ** 16)
  for (let i = 0; i < 100; i++) {
    lab.state.now += 10
    lab.apply(large)
    await settle(lab)
  }
  expect(lab.desk.replies.isOn).toBe(false) // it is too far behind to gain by it
  const { events } = consume(watch)
  await settle(lab)
  expect([events.length, lab.desk.replies.isOn]).toEqual([100, true])
  await watch.return()
  await settle(lab)
  expect(lab.desk.replies.isOn).toBe(false)
})

test('one that comes while the last one goes is told what comes', async () => {
  const lab = openWatchLab()
  const [first] = [consume(lab.watch())]
  await settle(lab)
  const second = consume(lab.watch())
  await first.stop()
  await settle(lab)
  lab.apply('a')
  await settle(lab)
  expect(second.events.map(show)).toEqual(['1:a'])
})

test('what was fed and nobody wants any more is no news to the next', async () => {
  const lab = openWatchLab()
  const first = consume(lab.watch())
  await settle(lab)
  lab.apply('on its way')
  await first.stop()
  lab.apply('not fed')
  const second = consume(lab.watch({ from: 1 }))
  await settle(lab)
  lab.apply('on')
  await settle(lab)
  expect([first.events, second.events.map(show)]).toEqual([[], seenFrom(lab, 1)])
})

test('what slow consumers hold of the log is bounded: beyond that they read it again', async () => {
  const lab = openWatchLab({ feedRingBytes: 2 ** 23, limits: { heldSizeMaxBytes: 2 ** 17 } })
  const large = 'x'.repeat(2 ** 14)
  for (let i = 0; i < 12; i++) lab.apply(`${i}${large}`, `${i}${large}`)
  // Each comes for one event, in a stretch of its own, and holds the rest of the stretch.
  const watches = Array.from({ length: 4 }, (_, i) => lab.watch({ from: 6 * i + 1 }))
  const take = async (): Promise<unknown[]> => {
    const calls = watches.map((watch) => watch.next())
    await settle(lab)
    return (await Promise.all(calls)).map(({ value }) => value!.index)
  }
  expect([await take(), lab.state.reads]).toEqual([[1, 7, 13, 19], 4])
  lab.state.now += 10
  lab.callerWorks()
  expect([await take(), lab.state.reads]).toEqual([[2, 8, 14, 20], 7]) // one stretch was kept
})

// ---- Compacted, future, refused ----------------------------------------------------------------

test('below what is retained a watch ends with E_COMPACTED and the first index', async () => {
  const lab = openWatchLab()
  for (let i = 0; i < 10; i++) lab.apply(`a${i}`, `b${i}`)
  lab.trim(7) // frames are trimmed whole: index 7 is in the frame that begins there
  const watch = lab.watch({ from: 3 })
  const ended = failing(watch.next())
  const other = lab.watch({ from: 9 }).next() // waits at the same time, and is not hit
  await settle(lab)
  expect((await other).value!.index).toBe(9)
  expect(await ended).toMatchObject({ code: 'E_COMPACTED', detail: { from: 3, first: 7 } })
  expect(await watch.next()).toEqual({ done: true, value: undefined })
  const { events } = consume(lab.watch({ from: 7 }))
  await settle(lab)
  expect(events.map(show)).toEqual(seenFrom(lab, 7))
})

test('a slow one that the log was trimmed under is told where it stood, never less', async () => {
  const lab = openWatchLab({ feedRingBytes: 2 ** 23 })
  const watch = lab.watch({ from: 1 })
  const large = 'x'.repeat(2 ** 16)
  for (let i = 0; i < 100; i++) {
    lab.apply(large)
    await settle(lab)
  }
  lab.trim(10)
  const ended = failing(watch.next())
  await settle(lab)
  expect(await ended).toMatchObject({ code: 'E_COMPACTED', detail: { from: 1, first: 11 } })
})

test('where the effect of old entries is not known any more, they are compacted', async () => {
  const lab = openWatchLab({ voidRangesMax: 4 })
  for (let i = 0; i < 5; i++) {
    lab.apply(`e${i}`)
    lab.applyMarked([[99, 1, 'stranger']])
  }
  const ended = failing(lab.watch({ from: 2 }).next())
  await settle(lab)
  expect(await ended).toMatchObject({ code: 'E_COMPACTED', detail: { from: 2, first: 3 } })
  const { events } = consume(lab.watch({ from: 3 }))
  await settle(lab)
  expect(events.map(show)).toEqual(seenFrom(lab, 3))
})

test('a start in the future waits for it, for so long', async () => {
  const lab = openWatchLab()
  lab.apply('a')
  const soon = consume(lab.watch({ from: 4 }))
  const never = consume(lab.watch({ from: 9, timeoutMs: 100 }))
  const next = consume(lab.watch({ from: 2, timeoutMs: 100 })) // has begun: it waits for ever
  await settle(lab)
  lab.apply('b', 'c', 'd', 'e')
  await settle(lab)
  expect(indexesOf(soon.events)).toEqual([4, 5])
  lab.state.now = 101
  await settle(lab)
  expect(await never.ended).toBe('E_READ_TIMEOUT')
  lab.apply('f')
  await settle(lab)
  expect(indexesOf(next.events)).toEqual([2, 3, 4, 5, 6])
  expect(indexesOf(soon.events)).toEqual([4, 5, 6])
})

test('the signal ends a watch once, waiting or not', async () => {
  const lab = openWatchLab()
  const controller = new AbortController()
  const { signal } = controller
  const waiting = consume(lab.watch({ signal }))
  const idle = lab.watch({ signal })
  await settle(lab)
  controller.abort()
  expect(await waiting.ended).toBe('E_ABORTED')
  expect(codeOf(await failing(idle.next()))).toBe('E_ABORTED')
  expect(await idle.next()).toEqual({ done: true, value: undefined })
  expect(() => lab.watch({ signal })).toThrow('E_ABORTED')
  expect(lab.scope.watchCount).toBe(0)
})

test('a node that fails ends its watches with that, and takes no others', async () => {
  const lab = openWatchLab()
  const waiting = consume(lab.watch())
  const idle = lab.watch()
  await settle(lab)
  lab.state.missing = null
  const { ReplicaError } = await import('../../src/engine/index.ts')
  lab.side.fail(new ReplicaError('E_CLOSED', 'closed', { what: 'node' }))
  expect(await waiting.ended).toBe('E_CLOSED')
  expect(codeOf(await failing(idle.next()))).toBe('E_CLOSED')
  expect(() => lab.watch()).toThrow('E_CLOSED')
})

test('a node that becomes a Logger ends its watches, and takes none until it is not', async () => {
  const lab = openWatchLab()
  const { ended } = consume(lab.watch())
  await settle(lab)
  lab.state.missing = 'reads at a logger'
  lab.state.now += 10
  await settle(lab)
  expect(await ended).toBe('E_NOT_AVAILABLE')
  expect(() => lab.watch()).toThrow('E_NOT_AVAILABLE')
  lab.state.missing = null
  await lab.watch().return()
})

test('what a watch asks for is checked at once', () => {
  const lab = openWatchLab()
  const token = { cluster: 'lab', epoch: 0, index: 3 }
  const refused = [
    [{ from: 0 }, 'E_CONFIG_INVALID'],
    [{ from: 1.5 }, 'E_CONFIG_INVALID'],
    [{ from: 1, token }, 'E_CONFIG_INVALID'],
    [{ timeoutMs: 0 }, 'E_CONFIG_INVALID'],
    [{ timeoutMs: 600_001 }, 'E_CONFIG_INVALID'],
    [{ token: { ...token, cluster: 'other' } }, 'E_TOKEN'],
    [{ token: { ...token, epoch: 1 } }, 'E_TOKEN'],
  ] as const
  for (const [options, code] of refused) expect(() => lab.watch(options)).toThrow(code)
  expect(lab.scope.watchCount).toBe(0)
})

test('watches, and calls of next(), are bounded', async () => {
  const lab = openWatchLab({ limits: { watchesMax: 3 } })
  const watches = Array.from({ length: 3 }, () => lab.watch({ from: 1 }))
  expect(() => lab.watch()).toThrow('E_READ_REFUSED')
  const calls = Array.from({ length: 1_024 }, () => watches[0]!.next())
  expect(codeOf(await failing(watches[0]!.next()))).toBe('E_READ_REFUSED')
  await watches[0]!.return()
  await Promise.all(calls)
  await lab.watch().return()
})
