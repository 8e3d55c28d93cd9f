/**
 * `member add`: tells every member where the new node is, then asks the leader to add it. In that
 * order, since members dial the one of higher id: who does not know where it is could not feed it.
 */
import type { Json } from '../client/transport.ts'
import { ClientError } from '../client/index.ts'
import type { Call } from './client.ts'
import { wholeOf } from './client.ts'

const PROMOTED = ['voter', 'logger', 'none'] as const

interface Listed {
  readonly highest_id: string
  readonly members: readonly { readonly id: string; readonly name: string }[]
}

/** @returns the members afterwards */
export async function memberAdd(call: Call): Promise<Json> {
  const { client, names, flags, signal, problems } = call
  const [name = '', peer_url = ''] = names
  const weight = wholeOf(call, 'weight', '--weight', 0)
  const given = flags['promote'] ?? 'voter'
  const promote = PROMOTED.find((one) => one === given)
  if (promote === undefined) problems.push('--promote: want voter, logger or none')
  call.check()
  const list = (await client.admin('/v3/cluster/member/list', {}, { signal })) as unknown as Listed
  const id = Number(list.highest_id) + 1
  const told = new Set<string>()
  for (const endpoint of client.endpoints) {
    const own = call.at(endpoint)
    const answer = await own.admin('/v3/cluster/member/address', { id, name, peer_url }, { signal })
    told.add((answer['header'] as { readonly member_id: string }).member_id)
  }
  const missing = list.members.filter((one) => !told.has(one.id))
  if (missing.length > 0) {
    const words = missing.map((one) => `${one.name} (id ${one.id})`).join(', ')
    const message = `not among --endpoints: ${words}; every member has to be told where ${name} is`
    throw new ClientError('E_MEMBERS_MISSING', message, 'not-proposed')
  }
  const body = { id, promote, ...(weight !== null && { weight }) }
  const after = await client.admin('/v3/cluster/member/add', body, { signal })
  process.stderr.write(
    `now start it, with the same --initial-cluster and --initial-cluster-token as the others:\n` +
      `  xpaxos serve --name ${name} --initial-cluster-state existing --member-id ${String(id)} ` +
      `--listen-peer-urls ${peer_url} --data-dir DIR --initial-cluster ...\n`,
  )
  return after
}
