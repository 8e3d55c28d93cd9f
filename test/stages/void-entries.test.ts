/** Which entries had no effect: ranges, what lies in a stretch, and what is forgotten. */
import { expect, test } from 'vitest'
import {
  type VoidEntries,
  countVoids,
  createVoidEntries,
  noteVoid,
  writeVoids,
} from '../../src/stages/void-entries.ts'

/** The ranges that reach into [first, through], as they are told. */
function told(voids: VoidEntries, first: number, through: number): [number, number][] {
  const count = countVoids(voids, first, through)
  const view = new DataView(new ArrayBuffer(16 * count + 8))
  writeVoids(voids, first, count, view, 8)
  return Array.from({ length: count }, (_, i) => [
    view.getFloat64(8 + 16 * i, true),
    view.getFloat64(16 + 16 * i, true),
  ])
}

test('neighbours are one range, and a stretch is told the ranges that reach into it', () => {
  const voids = createVoidEntries()
  for (const index of [3, 4, 5, 9]) noteVoid(voids, index)
  noteVoid(voids, 20, 29)
  noteVoid(voids, 30)
  expect(told(voids, 1, 40)).toEqual([
    [3, 5],
    [9, 9],
    [20, 30],
  ])
  expect(told(voids, 5, 8)).toEqual([[3, 5]])
  expect(told(voids, 6, 8)).toEqual([])
  expect(told(voids, 9, 20)).toEqual([
    [9, 9],
    [20, 30],
  ])
  expect(told(voids, 31, 99)).toEqual([])
  expect(told(createVoidEntries(), 1, 99)).toEqual([])
})

test('beyond the bound the oldest are forgotten, and nothing is claimed of them', () => {
  const voids = createVoidEntries(1, 8)
  for (let i = 1; i <= 8; i++) noteVoid(voids, 10 * i)
  expect(voids.from).toBe(1)
  noteVoid(voids, 90)
  expect(voids.from).toBe(21)
  expect(told(voids, 1, 100).map(([first]) => first)).toEqual([30, 40, 50, 60, 70, 80, 90])
})

test('entries are noted in log order', () => {
  const voids = createVoidEntries()
  noteVoid(voids, 5)
  expect(() => noteVoid(voids, 5)).toThrow('entries are applied in order')
})
