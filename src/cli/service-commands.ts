/**
 * The commands of the service: `serve`, and those of its clients and operators. What they take and
 * say in their help; bodies are imported when they run.
 */
import { type Command, Option as Flag } from 'commander'
import type { Exit } from './exit.ts'
import { CLIENT_COMMANDS, type ClientCommand } from './client-commands.ts'
import { SERVE_KEYS, flagOfKey, serveRow } from './serve-table.ts'

type OnExit = (exit: Exit) => void
type Sorted = (args: readonly string[]) => { names: string[]; unknown: string[] }

const SERVE_EXAMPLES = `
Examples:
  xpaxos serve --embedded 3 --data-dir ./data
  xpaxos serve --name n1 --data-dir ./n1 \\
    --initial-cluster n1=tcp://127.0.0.1:7480,n2=tcp://127.0.0.1:7580,n3=tcp://127.0.0.1:7680

Every option has an environment variable, --data-dir XPAXOS_DATA_DIR, and a key of the config file,
{"schema":"xpaxos-config/1","dataDir":"./data"}. A flag is taken before a variable, a variable
before the file. docs/operations.md has the rest.`

export function addServe(program: Command, onExit: OnExit, sorted: Sorted): void {
  const command = common(program.command('serve'))
    .description('run a node of a cluster, or a whole cluster, that clients can talk to')
    .addHelpText('after', SERVE_EXAMPLES)
  for (const key of SERVE_KEYS) {
    const { value, fallback, why } = serveRow(key)
    const shown = fallback === undefined || value === undefined ? '' : ` (default ${fallback})`
    const flag = value === undefined ? flagOfKey(key) : `${flagOfKey(key)} [${value}]`
    command.addOption(new Flag(flag, `${why}${shown}`))
  }
  command
    .addOption(new Flag('--config-file [file]', 'options as JSON'))
    .addOption(new Flag('--config [file]', 'the same'))
  command.action(async () => {
    const { names, unknown } = sorted(command.args)
    const { runServe } = await import('./serve.ts')
    const unexpected = names.map((name) => `${name}: unexpected argument`)
    onExit(await runServe(command.opts(), [...unknown, ...unexpected]))
  })
}

export function addClients(program: Command, onExit: OnExit, sorted: Sorted): void {
  const parents = new Map<string, Command>()
  for (const one of CLIENT_COMMANDS) {
    const [first, second] = one.name.split(' ') as [string, string | undefined]
    let parent = program
    if (second !== undefined) {
      const made = parents.get(first)
      parent = made ?? program.command(first).description(`${first} commands`).exitOverride()
      parents.set(first, parent)
    }
    addClient(parent.command(second ?? first), one, onExit, sorted)
  }
}

function addClient(made: Command, one: ClientCommand, onExit: OnExit, sorted: Sorted): void {
  const command = common(made).description(one.summary)
  for (const name of one.arguments) command.argument(`[${name}]`)
  command
    .addOption(
      new Flag('--endpoints [urls]', 'of the nodes, or XPAXOS_ENDPOINTS').default(ENDPOINT),
    )
    .addOption(new Flag('--token-file [file]', "the client's token, or XPAXOS_CLIENT_TOKEN_FILE"))
    .addOption(new Flag('--timeout [seconds]', 'of the whole command').default('5', '5'))
    .addOption(new Flag('-w, --write-out [form]', 'table or json').default('table', 'table'))
  for (const [flag, why] of Object.entries(one.flags)) command.addOption(new Flag(flag, why))
  command.action(async () => {
    const { names, unknown } = sorted(command.args)
    const { runClient } = await import('./client.ts')
    const flags: Readonly<Record<string, unknown>> = command.opts()
    const isGiven = command.getOptionValueSource('endpoints') !== 'default'
    const fromEnvironment = isGiven ? undefined : process.env['XPAXOS_ENDPOINTS']
    const endpoints = fromEnvironment ?? flags['endpoints']
    onExit(await runClient(one.name, names, { ...flags, endpoints }, unknown))
  })
}

const ENDPOINT = 'http://127.0.0.1:7479'

const common = (command: Command): Command =>
  command
    .helpOption('--help', 'print this help')
    .exitOverride()
    .allowUnknownOption() // refused below, together with every other problem
    .allowExcessArguments()
