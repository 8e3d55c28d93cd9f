/** redis-cli and redis-benchmark against us, where they are installed (Debian: redis-tools). */
import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import type { RespServer } from '../../src/server/resp/server.ts'
import { openResp } from './resp-client.ts'

const run = promisify(execFile)
const isInstalled = spawnSync('redis-benchmark', ['--version']).status === 0
const why = 'redis-tools is not installed: apt-get install redis-tools'

const portOf = ({ address }: RespServer): string[] => ['-p', String(address.port)]

test.skipIf(!isInstalled)(`redis-cli sets, gets and scans (else: ${why})`, async () => {
  const { server } = await openResp()
  const cli = async (...words: string[]): Promise<string> =>
    (await run('redis-cli', [...portOf(server), ...words])).stdout.trim()
  expect(await cli('SET', 'k', 'v', 'EX', '100')).toBe('OK')
  expect(await cli('GET', 'k')).toBe('v')
  expect(await cli('TTL', 'k')).toMatch(/^(100|9\d)$/)
  expect(await cli('INCRBY', 'n', '5')).toBe('5')
  expect((await cli('--scan')).split('\n').sort()).toEqual(['k', 'n'])
  expect(await cli('LPUSH', 'list', 'x')).toBe("ERR unknown command 'LPUSH'")
})

test.skipIf(!isInstalled)(`redis-benchmark sets and gets, pipelined (else: ${why})`, async () => {
  const { server } = await openResp()
  const load = ['-t', 'set,get,incr,mset', '-P', '16', '-n', '3000', '-c', '10', '-q']
  const { stdout, stderr } = await run('redis-benchmark', [...portOf(server), ...load])
  for (const name of ['SET', 'GET', 'INCR', 'MSET (10 keys)']) {
    expect(stdout).toMatch(`${name}: `)
  }
  expect(`${stdout}${stderr}`).not.toMatch(/Error|WARNING/)
})
