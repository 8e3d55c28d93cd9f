import { expect, test } from 'vitest'
import { claim, drain, flush, isFull } from '../../src/stages/port.ts'
import { cellRing, cellsOf, order, port } from '../support/engine-cells.ts'

test('what does not fit waits in order, and passes once there is room', () => {
  const cells = cellRing(4)
  const out = port(cells)
  for (let i = 1; i <= 6; i++) order(out, [i])
  expect(flush(out)).toBe(false)
  const seen: number[] = []
  const take = (words: Float64Array, base: number): number => seen.push(words[base]!) && 1
  drain(cells, 2, take)
  expect(flush(out)).toBe(true)
  order(out, [7])
  expect(out.overflow).toHaveLength(1)
  for (let i = 0; i < 3; i++) {
    drain(cells, 9, take)
    flush(out)
  }
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7])
})

test('a group is published whole or not at all', () => {
  const cells = cellRing(4)
  const out = port(cells)
  order(out, [1])
  order(out, [2])
  const values = [3, 31, 32]
  for (const [place, value] of values.entries()) {
    const base = claim(out, place === 0 ? 2 : 0)
    out.words[base] = value
  }
  expect(flush(out)).toBe(false)
  expect(cellsOf(cells).map(([kind]) => kind)).toEqual([1, 2])
  expect(flush(out)).toBe(true)
  expect(cellsOf(cells).map(([kind]) => kind)).toEqual([3, 31, 32])
})

test('a group that fits lies in the ring in order, behind what was claimed before', () => {
  const cells = cellRing(8)
  const out = port(cells)
  for (const [value, behind] of [
    [1, 0],
    [2, 1],
    [21, 0],
    [3, 0],
  ] as const) {
    const base = claim(out, behind)
    out.words[base] = value
  }
  flush(out)
  expect(cellsOf(cells).map(([kind]) => kind)).toEqual([1, 2, 21, 3])
})

test('half a ring is full for what may come later, and a group is bounded', () => {
  const cells = cellRing(4)
  const out = port(cells)
  expect(isFull(out)).toBe(false)
  order(out, [1])
  order(out, [2])
  expect(isFull(out)).toBe(true)
  expect(() => claim(out, 5_000)).toThrow('a group fits')
  expect(() => claim(port(cells), 2_047)).toThrow('could ever fit')
})

test('a published group never waits for a claim that is missing', () => {
  const out = port(cellRing(4))
  claim(out, 1)
  expect(() => flush(out)).toThrow('whole')
})
