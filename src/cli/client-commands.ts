/** The commands of clients and operators: arguments, options and what they are for. Data only. */
export interface ClientCommand {
  /** One word, or two: `member list`. */
  readonly name: string
  readonly summary: string
  readonly arguments: readonly string[]
  /** Flag -> what it is for. */
  readonly flags: Readonly<Record<string, string>>
}

const READS = {
  '--consistency [name]': 'linearizable (default), lease, or stale',
  '--max-staleness [ms]': 'with --consistency stale: how old the answer may be (default 5000)',
}

export const CLIENT_COMMANDS: readonly ClientCommand[] = [
  {
    name: 'put',
    summary: 'put a value under a key',
    arguments: ['KEY', 'VALUE'],
    flags: { '--ttl [ms]': 'the key is gone so long afterwards' },
  },
  {
    name: 'get',
    summary: 'print what a key holds; exit 1: there is no such key',
    arguments: ['KEY'],
    flags: { '--prefix': 'all keys that begin with KEY', ...READS },
  },
  {
    name: 'del',
    summary: 'delete a key; exit 1: there was none',
    arguments: ['KEY'],
    flags: { '--prefix': 'all keys that begin with KEY' },
  },
  {
    name: 'cas',
    summary: 'put VALUE if KEY holds EXPECTED; exit 1: it does not',
    arguments: ['KEY', 'EXPECTED', 'VALUE'],
    flags: { '--absent': 'if there is no such key; then without EXPECTED' },
  },
  {
    name: 'watch',
    summary: 'print changes of a key until it is interrupted',
    arguments: ['KEY'],
    flags: {
      '--prefix': 'of all keys that begin with KEY',
      '--from [revision]': 'from this log index on (default: from now on)',
    },
  },
  {
    name: 'sync',
    summary: 'wait until the node that answers has applied all that was acknowledged before',
    arguments: [],
    flags: {},
  },
  {
    name: 'endpoint status',
    summary: 'what each endpoint says of its node',
    arguments: [],
    flags: {},
  },
  {
    name: 'endpoint health',
    summary: 'whether each endpoint can serve; exit 1: one cannot',
    arguments: [],
    flags: {},
  },
  {
    name: 'member list',
    summary: 'members, roles and weights, by the newest membership',
    arguments: [],
    flags: {},
  },
  {
    name: 'member add',
    summary: 'let a new node join; every member must be up and among the endpoints',
    arguments: ['NAME', 'PEER_URL'],
    flags: {
      '--promote [role]': 'voter (default) or logger once it has caught up; none: stays a learner',
      '--weight [0..9]': 'of a voter (default 5)',
    },
  },
  {
    name: 'member remove',
    summary: 'remove a member; its id is never used again',
    arguments: ['ID'],
    flags: {},
  },
  {
    name: 'member promote',
    summary: 'make a learner that has caught up a voter',
    arguments: ['ID'],
    flags: {},
  },
  {
    name: 'member set',
    summary: "change a member's weight, whether it is forced, or a learner's source",
    arguments: ['ID'],
    flags: {
      '--weight [0..9]': 'higher leads sooner; 0 never leads',
      '--forced [state]': 'armed, degraded or none',
      '--source [id]': 'who feeds a learner; 0: the leader',
    },
  },
  {
    name: 'move-leader',
    summary: 'hand leadership to another member',
    arguments: ['ID'],
    flags: {},
  },
]
