import { expect, test } from 'vitest'
import {
  isLeaseValid,
  leaseLifeOf,
  leaseMemory,
  openLease,
  writeLease,
} from '../../src/ring/lease.ts'

const open = () => openLease(leaseMemory())

test('a lease is valid before its time on both clocks, and not from then on', () => {
  const lease = open()
  writeLease(lease, 100, 5_000)
  const life = leaseLifeOf(lease)
  expect(isLeaseValid(lease, life, 99, 4_999)).toBe(true)
  expect(isLeaseValid(lease, life, 100, 4_999)).toBe(false)
  expect(isLeaseValid(lease, life, 99.5, 4_999)).toBe(false)
  expect(isLeaseValid(lease, life, 99, 5_000)).toBe(false) // the machine slept
})

test('there is none before the first, and none after the end', () => {
  const lease = open()
  expect(isLeaseValid(lease, leaseLifeOf(lease), 0, 0)).toBe(false)
  writeLease(lease, 100, 100)
  const life = leaseLifeOf(lease)
  writeLease(lease, 0, 0)
  expect(isLeaseValid(lease, life, 1, 1)).toBe(false)
  expect(isLeaseValid(lease, leaseLifeOf(lease), 1, 1)).toBe(false)
})

test('a renewal goes on with a life, a new lease does not vouch for reads of the last one', () => {
  const lease = open()
  writeLease(lease, 100, 100)
  const life = leaseLifeOf(lease)
  writeLease(lease, 200, 200)
  expect(isLeaseValid(lease, life, 150, 150)).toBe(true)
  writeLease(lease, 0, 0)
  writeLease(lease, 300, 300)
  expect(isLeaseValid(lease, life, 150, 150)).toBe(false)
  expect(isLeaseValid(lease, leaseLifeOf(lease), 150, 150)).toBe(true)
})

test('times are compared modulo 2^32, wherever the clocks stand', () => {
  for (const base of [2 ** 31 - 50, 2 ** 32 - 50, 1.8e12]) {
    const lease = open()
    writeLease(lease, base + 100, base + 100)
    const life = leaseLifeOf(lease)
    expect(isLeaseValid(lease, life, base + 99, base + 99)).toBe(true)
    expect(isLeaseValid(lease, life, base + 100, base + 99)).toBe(false)
  }
})
