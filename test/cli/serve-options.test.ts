/** Options of `serve`: where each comes from, what is refused, what is safe without being asked. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { serveConfigOf } from '../../src/cli/serve-options.ts'
import { SERVE_KEYS, flagOfKey, variableOf } from '../../src/cli/serve-table.ts'
import { type ServeConfig, exposuresOf, isLoopback } from '../../src/server/serve-config.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xpaxos-serve-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const file = (name: string, text: string, mode = 0o600): string => {
  const path = join(folder, name)
  writeFileSync(path, text, { mode })
  return path
}

type Flags = Readonly<Record<string, unknown>>
const read = (flags: Flags, environment: Readonly<Record<string, string>> = {}) =>
  serveConfigOf({ flags: { dataDir: 'd', ...flags }, environment })
const configOf = (flags: Flags, environment: Readonly<Record<string, string>> = {}) => {
  const config = read(flags, environment)
  expect(config).not.toBeInstanceOf(Array)
  return config as ServeConfig
}

test('a value is taken from the flag, else the variable, else the file, else the default', () => {
  const path = file('a.json', '{"schema":"xpaxos-config/1","logLevel":"error"}')
  const environment = { XPAXOS_LOG_LEVEL: 'warn' }
  const flags = { configFile: path, logLevel: 'debug' }
  expect(configOf(flags, environment).logLevel).toBe('debug')
  expect(configOf({ configFile: path }, environment).logLevel).toBe('warn')
  expect(configOf({ configFile: path }).logLevel).toBe('error')
  expect(configOf({ config: path }).logLevel).toBe('error')
  expect(configOf({}, { XPAXOS_CONFIG_FILE: path }).logLevel).toBe('error')
  expect(configOf({}).logLevel).toBe('info')
})

test('a file may write numbers, switches and lists as such', () => {
  const path = file(
    'b.json',
    JSON.stringify({
      schema: 'xpaxos-config/1',
      heartbeatInterval: 20,
      insecureClientNetwork: true,
      allowedHosts: ['a.example', 'b.example'],
    }),
  )
  expect(configOf({ configFile: path })).toMatchObject({
    heartbeatMs: 20,
    insecureClientNetwork: true,
    allowedHosts: ['a.example', 'b.example'],
  })
})

test('snapshots are on, the log is kept whole; who lets it go needs them', () => {
  expect(configOf({})).toMatchObject({ snapshotEveryBytes: 2 ** 28, retainBytes: 0 })
  const small = configOf({ snapshotEveryBytes: '1048576', retainBytes: '4294967296' })
  expect(small).toMatchObject({ snapshotEveryBytes: 2 ** 20, retainBytes: 2 ** 32 })
  expect(read({ snapshotEveryBytes: '0', retainBytes: '1' })).toEqual([
    '--retain-bytes: want --snapshot-every-bytes above 0, or the state would be lost',
  ])
})

test('every option has a flag and a variable of one name', () => {
  expect(SERVE_KEYS.map((key) => [flagOfKey(key), variableOf(key)])).toContainEqual([
    '--listen-client-urls',
    'XPAXOS_LISTEN_CLIENT_URLS',
  ])
})

test('node ids are places in byte order of names, however they are listed', () => {
  const cluster = 'b=tcp://127.0.0.1:2,a10=tcp://127.0.0.1:3,B=tcp://127.0.0.1:1,a9=tcp://[::1]:4'
  const { founders } = configOf({ name: 'b', initialCluster: cluster })
  expect(founders.map(({ name }) => name)).toEqual(['B', 'a10', 'a9', 'b'])
  expect(founders[2]!.peer).toEqual({ host: '::1', port: 4 })
})

test('all listeners are on loopback unless somebody says otherwise', () => {
  const config = configOf({})
  const { listenClients, listenResp, listenMonitoring, listenPeer } = config
  const hosts = [...listenClients, listenResp!, listenMonitoring!, listenPeer]
  expect(hosts.map(({ host, port }) => `${host}:${String(port)}`)).toEqual([
    ...['127.0.0.1:7479', '127.0.0.1:7481', '127.0.0.1:7482', '127.0.0.1:7480'],
  ])
  expect(exposuresOf(config)).toEqual([])
})

const CLUSTER = 'n1=tcp://127.0.0.1:1,n2=tcp://127.0.0.1:2'

describe('refused', () => {
  test.each<[flags: Flags, problems: readonly string[]]>([
    [{ dataDir: undefined }, ['--data-dir: missing']],
    [{ dataDir: true }, ['--data-dir: want a file']],
    [{ name: 'a b' }, ['--name: want a name of letters']],
    [{ embedded: '0' }, ['--embedded: 0: want a whole number from 1 to 9']],
    [{ embedded: '3', name: 'x' }, ['--name: has no meaning with --embedded']],
    [{ listenPeerUrls: 'http://a:1' }, ['--listen-peer-urls: http://a:1: want tcp://HOST:PORT']],
    [{ listenPeerUrls: 'tcp://a' }, ['--listen-peer-urls: tcp://a: want tcp://HOST:PORT']],
    [{ listenPeerUrls: 'tcp://a:99999' }, ['--listen-peer-urls: tcp://a:99999']],
    [{ listenPeerUrls: 'tcp://u:p@a:1' }, ['--listen-peer-urls']],
    [{ listenPeerUrls: 'tcp://a:1/x' }, ['--listen-peer-urls']],
    [{ listenClientUrls: '' }, ['--listen-client-urls: want one at least']],
    [{ listenClientUrls: 'ftp://a:1' }, ['--listen-client-urls: ftp://a:1: want http://']],
    [{ listenResp: 'http://127.0.0.1:1' }, ['--listen-resp']],
    [{ initialCluster: 'n1' }, ['--initial-cluster: n1: want NAME=tcp://HOST:PORT']],
    [{ initialCluster: 'n1=tcp://a' }, ['--initial-cluster: n1: tcp://a: want tcp://HOST:PORT']],
    [{ initialCluster: `${CLUSTER},n1=tcp://127.0.0.1:3` }, ['--initial-cluster: every name once']],
    [{ initialCluster: CLUSTER, name: 'n3' }, ['--name: n3 is not in --initial-cluster']],
    [
      { initialCluster: CLUSTER, name: 'n1', initialClusterState: 'existing', memberId: '3' },
      ["--name: n1 is a founder's"],
    ],
    [
      { initialCluster: CLUSTER, name: 'n3', initialClusterState: 'existing' },
      ['--initial-cluster-state existing, --member-id: want both'],
    ],
    [
      { initialCluster: CLUSTER, name: 'n3', initialClusterState: 'existing', memberId: '2' },
      ["--member-id: 2 is a founder's"],
    ],
    [{ initialClusterState: 'old' }, ['--initial-cluster-state: want new or existing']],
    [
      { heartbeatInterval: '200', electionTimeout: '500' },
      ['--election-timeout: want at least 3 * --heartbeat-interval'],
    ],
    [{ logLevel: 'loud' }, ['--log-level: want one of debug, info, warn, error, silent']],
    [{ certFile: 'none.pem' }, ['--cert-file: cannot read none.pem', '--key-file: missing']],
    [{ tokenFile: 'none' }, ['--token-file: none: cannot be read']],
    [{ allowedOrigins: 'https://a.example/x' }, ['--allowed-origins: want an origin']],
    [{ configFile: 'none.json' }, ['--config-file: cannot read none.json']],
  ])('%j', (flags, problems) => {
    const found = read(flags)
    expect(found).toBeInstanceOf(Array)
    const lines = found as string[]
    expect(lines).toHaveLength(problems.length)
    problems.forEach((problem, i) => expect(lines[i]).toContain(problem))
  })

  test('all problems come at once, each naming where its value came from', () => {
    const path = file('c.json', '{"schema":"xpaxos-config/1","logLevel":"loud","nope":1}')
    const environment = { XPAXOS_HEARTBEAT_INTERVAL: 'soon' }
    expect(read({ configFile: path, name: '-' }, environment)).toEqual([
      'config file: nope: no such key',
      expect.stringMatching(/^--name: /),
      expect.stringMatching(/^XPAXOS_HEARTBEAT_INTERVAL: soon: want a whole number/),
      expect.stringMatching(/^config file: logLevel: want one of/),
    ])
  })

  test('a file that is not JSON, of no schema, or with keys of the prototype', () => {
    expect(read({ config: file('d.json', '{') })).toEqual(['--config-file: not JSON'])
    expect(read({ config: file('e.json', '{}') })).toEqual([
      'config file: want "schema": "xpaxos-config/1"',
    ])
    const text = '{"schema":"xpaxos-config/1","__proto__":{"logLevel":"error"},"constructor":1}'
    expect(read({ config: file('f.json', text) })).toEqual([
      'config file: __proto__: no such key',
      'config file: constructor: no such key',
    ])
  })
})

describe('addresses beyond loopback', () => {
  const TOKENS = 'admin 0123456789abcdef\n'
  const open = { listenClientUrls: 'http://0.0.0.0:1' }

  test.each<[flags: Flags, problem: string]>([
    [open, 'no TLS (--cert-file, --key-file) and no tokens (--token-file)'],
    [{ listenClientUrls: 'http://192.0.2.1:1' }, '192.0.2.1 is not loopback'],
    [{ listenClientUrls: 'http://[::]:1' }, ':: is not loopback'],
    [{ listenResp: 'tcp://0.0.0.0:1' }, 'RESP has no TLS'],
    [{ listenMonitoringUrl: 'http://0.0.0.0:1' }, 'it has no TLS and no tokens'],
    [{ listenPeerUrls: 'tcp://0.0.0.0:1' }, '--insecure-peer-network'],
  ])('%j is refused', (flags, problem) => {
    expect(read(flags)).toEqual([expect.stringContaining(problem)])
  })

  test('TLS and tokens together open the client listener, one of them does not', () => {
    const tokenFile = file('tokens', TOKENS)
    const [certFile, keyFile] = [file('cert.pem', 'x'), file('key.pem', 'y')]
    const secure = { listenClientUrls: 'https://0.0.0.0:1', certFile, keyFile, tokenFile }
    expect(exposuresOf(configOf(secure))).toEqual([])
    expect(read({ ...secure, tokenFile: undefined })).toEqual([
      expect.stringContaining('no tokens'),
    ])
    expect(read({ ...open, tokenFile })).toEqual([expect.stringContaining('no TLS')])
  })

  test('https without a certificate, and http beside one, are refused', () => {
    const [certFile, keyFile] = [file('cert.pem', 'x'), file('key.pem', 'y')]
    expect(read({ listenClientUrls: 'https://127.0.0.1:1' })).toEqual([
      expect.stringContaining('needs --cert-file and --key-file'),
    ])
    expect(read({ certFile, keyFile })).toEqual([expect.stringContaining('want https://')])
  })

  test('an option of that name allows it, and it stays an exposure to be warned of', () => {
    const config = configOf({ ...open, insecureClientNetwork: true })
    expect(exposuresOf(config)).toHaveLength(1)
    const peers = { listenPeerUrls: 'tcp://0.0.0.0:1', insecurePeerNetwork: true }
    expect(exposuresOf(configOf(peers))).toHaveLength(1)
    expect(read({ ...open, insecurePeerNetwork: true })).toBeInstanceOf(Array)
  })

  test('only names and addresses of loopback are loopback', () => {
    const yes = ['localhost', '127.0.0.1', '127.9.9.9', '::1']
    const no = ['0.0.0.0', '::', '127.0.0.1.example', 'localhost.example', '10.0.0.1', '128.0.0.1']
    expect(yes.filter((host) => !isLoopback(host))).toEqual([])
    expect(no.filter(isLoopback)).toEqual([])
  })
})

test('a token file that others may read, or with short tokens, is refused and not shown', () => {
  const open = file('open', 'read 0123456789abcdef\n', 0o644)
  expect(read({ tokenFile: open })).toEqual([expect.stringContaining('others may read it')])
  const bad = file('bad', '# all wrong\nroot 0123456789abcdef\nread shortsecret\n')
  const found = read({ tokenFile: bad }) as string[]
  expect(found).toEqual([
    expect.stringContaining('bad:2: want a role first'),
    expect.stringContaining('bad:3: want one token of at least 16'),
  ])
  expect(found.join()).not.toMatch(/0123456789abcdef|shortsecret/)
})
