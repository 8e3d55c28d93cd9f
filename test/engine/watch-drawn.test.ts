/** Watches over a real apply stage, in drawn histories: each is told the log, or compacted. */
import { expect, test } from 'vitest'
import { FRAME_KIND } from '../../src/codec/frame.ts'
import { COMMAND } from '../../src/stages/session-bytes.ts'
import { below, between, chance, createRandom } from '../support/random.ts'
import { type Consumer, consume, show } from '../support/watch.ts'
import { openWatchLab, seenFrom, settle, turn } from '../support/watch-lab.ts'

test.each(Array.from({ length: 40 }, (_, seed) => seed))(
  'seed %i: each watch is told the log from its start, or that it is compacted',
  async (seed) => {
    const random = createRandom(seed)
    const lab = openWatchLab({
      feedRingBytes: 2 ** between(random, 13, 15),
      feedCells: 2 ** between(random, 3, 6),
    })
    lab.applyMarked([[0, 0, String.fromCharCode(COMMAND.open)]], FRAME_KIND.session)
    const consumers: (Consumer & { readonly from: number })[] = []
    let sequence = 1
    let trimmed = 0
    for (let step = 0; step < 200; step++) {
      const sizes = Array.from({ length: between(random, 1, 4) }, () => below(random, 200))
      if (chance(random, 300))
        lab.apply(...sizes.map((size, i) => `${step}.${i} ${'x'.repeat(size)}`))
      else if (chance(random, 300)) {
        const isRepeat = chance(random, 400)
        const from = isRepeat ? Math.max(1, sequence - 2) : sequence
        lab.applyMarked(sizes.map((size, i) => [1, from + i, `s${from + i} ${'x'.repeat(size)}`]))
        sequence = Math.max(sequence, from + sizes.length)
      }
      if (chance(random, 100)) {
        const from = between(random, 1, lab.state.last + 3)
        consumers.push({ ...consume(lab.watch({ from })), from })
      }
      if (chance(random, 20)) lab.trim((trimmed = below(random, lab.state.last + 1)))
      if (chance(random, 300)) lab.callerWorks()
      if (chance(random, 300)) lab.answerReads(between(random, 1, 3))
      if (chance(random, 300)) await turn()
    }
    await settle(lab)
    let told = 0
    for (const { events, from, ended } of consumers) {
      const seen = seenFrom(lab, from).slice(0, events.length)
      expect(events.map(show)).toEqual(seen)
      told += events.length
      if (events.length === seenFrom(lab, from).length) continue
      expect(await ended).toBe('E_COMPACTED')
      expect(trimmed).toBeGreaterThan(0)
    }
    expect(told).toBeGreaterThan(0)
  },
)
