import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

interface Condition {
  index: number;
  value: number;
  valueTwo?: number;
  op: string;
}

interface Rule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: Condition[];
}

interface Profile {
  defaultAction: string;
  defaultErrnoRet: number;
  archMap: { architecture: string; subArchitectures: string[] }[];
  syscalls: Rule[];
}

const profile: Profile = JSON.parse(
  readFileSync(new URL('../quadlets/whisper-seccomp.json', import.meta.url), 'utf8'),
);

const EPERM = 1;
const ENOSYS = 38;
const EPROTONOSUPPORT = 93;
const EAFNOSUPPORT = 97;

const [UNIX, INET, INET6, NETLINK, VSOCK] = [1, 2, 10, 16, 40];
const [STREAM, DGRAM, SEQPACKET, PACKET] = [1, 2, 5, 10];
const [TCP, UDP, MPTCP] = [6, 17, 262];
const NONBLOCK_CLOEXEC = 0o2004000;

const HOLDS: Record<string, (argument: bigint, value: bigint, two: bigint) => boolean> = {
  SCMP_CMP_EQ: (argument, value) => argument === value,
  SCMP_CMP_NE: (argument, value) => argument !== value,
  SCMP_CMP_GT: (argument, value) => argument > value,
  // Here the first value is the mask.
  SCMP_CMP_MASKED_EQ: (argument, mask, value) => (argument & mask) === value,
};

/** What the filter says to a call: "allow", or an errno. Rules that say different things are a fault. */
function answer(name: string, ...args: number[]): 'allow' | number {
  const matching = profile.syscalls.filter(
    (rule) =>
      rule.names.includes(name) &&
      (rule.args ?? []).every(({ op, index, value, valueTwo = 0 }) =>
        HOLDS[op]?.(BigInt(args[index] ?? 0), BigInt(value), BigInt(valueTwo)),
      ),
  );
  const said = new Set(
    matching.map(({ action, errnoRet }) =>
      action === 'SCMP_ACT_ALLOW' ? 'allow' : (errnoRet ?? Number.NaN),
    ),
  );
  if (said.size > 1) throw new Error(`${name}(${args}): ${[...said]}`);
  return [...said][0] ?? profile.defaultErrnoRet;
}

describe('the profile as a whole', () => {
  test('what it does not name is ENOSYS, so that libc falls back', () => {
    expect(profile.defaultAction).toBe('SCMP_ACT_ERRNO');
    expect(profile.defaultErrnoRet).toBe(ENOSYS);
    expect(answer('a_call_of_a_later_kernel')).toBe(ENOSYS);
  });

  test('two architectures, their native calls only: socketcall of 32 bits would go around the rules', () => {
    expect(profile.archMap).toEqual([
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: [] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: [] },
    ]);
    // Podman refuses a profile that has both.
    expect(profile).not.toHaveProperty('architectures');
  });

  test('every rule has what podman reads, and nothing that depends on capabilities', () => {
    const known = ['comment', 'names', 'action', 'errnoRet', 'args'];
    for (const rule of profile.syscalls) {
      expect(Object.keys(rule).filter((key) => !known.includes(key))).toEqual([]);
      expect(['SCMP_ACT_ALLOW', 'SCMP_ACT_ERRNO']).toContain(rule.action);
      expect(rule.action === 'SCMP_ACT_ERRNO', rule.names[0]).toBe('errnoRet' in rule);
      for (const { op } of rule.args ?? []) expect(Object.keys(HOLDS)).toContain(op);
    }
  });

  test('no rule has two conditions on one argument: the runtimes would read them as "or"', () => {
    for (const { names, args = [] } of profile.syscalls) {
      expect(new Set(args.map(({ index }) => index)).size, names[0]).toBe(args.length);
    }
  });

  test('a call with conditions has no rule without them, and no other call has two rules', () => {
    const conditional = new Set(profile.syscalls.flatMap((rule) => (rule.args ? rule.names : [])));
    expect([...conditional].sort()).toEqual(['clone', 'personality', 'socket', 'socketpair']);
    const plain = profile.syscalls.flatMap((rule) => (rule.args ? [] : rule.names));
    expect(plain.filter((name, index) => plain.indexOf(name) !== index)).toEqual([]);
    expect(plain.filter((name) => conditional.has(name))).toEqual([]);
  });

  test('names are sorted within their group', () => {
    for (const { names } of profile.syscalls) expect(names).toEqual([...names].sort());
  });
});

describe('what whisper must not do', () => {
  const FORBIDDEN = {
    'namespaces and the root': 'unshare setns chroot pivot_root sethostname setdomainname',
    'keyrings, whose quota is the whole user': 'add_key request_key keyctl',
    'the favourites of exploits':
      'bpf io_uring_setup io_uring_enter io_uring_register userfaultfd perf_event_open modify_ldt vmsplice io_setup io_submit msgget msgsnd remap_file_pages',
    mounts:
      'mount umount umount2 fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr mount_setattr statmount listmount',
    'files by handle': 'open_by_handle_at name_to_handle_at fanotify_init fanotify_mark',
    'another kernel, and modules':
      'kexec_load kexec_file_load init_module finit_module delete_module create_module query_module',
    'other processes':
      'ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd move_pages migrate_pages',
    'the machine':
      'acct quotactl quotactl_fd swapon swapoff reboot syslog settimeofday clock_settime clock_settime64 adjtimex clock_adjtime stime iopl ioperm vhangup nfsservctl lookup_dcookie uselib sysfs ustat',
    'hidden memory': 'memfd_secret',
    'calls of 32 bits, behind which sockets could hide': 'socketcall ipc syscall',
    'arguments that no filter can see': 'clone3',
  };

  test.each(Object.entries(FORBIDDEN))('%s', (_what, names) => {
    for (const name of names.split(' ')) expect([EPERM, ENOSYS], name).toContain(answer(name));
  });

  test('clone3 does not exist, so that libc uses clone, whose flags can be seen', () => {
    expect(answer('clone3')).toBe(ENOSYS);
  });

  test('what programs only try is not permitted, rather than missing', () => {
    for (const name of ['unshare', 'setns', 'mount', 'umount2', 'chroot', 'ptrace', 'syslog']) {
      expect(answer(name), name).toBe(EPERM);
    }
  });
});

describe('clone', () => {
  // sched.h: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. (NEWTIME is clone3's.)
  const NAMESPACES = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000];
  const THREAD = 0x3d0f00;
  const FORK = 0x1200011;

  test('makes threads and processes', () => {
    for (const flags of [THREAD, FORK, 0x4111]) expect(answer('clone', flags)).toBe('allow');
  });

  test.each(NAMESPACES)('makes no namespace: %i', (flag) => {
    for (const flags of [flag, flag | THREAD, flag | FORK, flag + 2 ** 32]) {
      expect(answer('clone', flags)).toBe(ENOSYS);
    }
  });
});

describe('sockets', () => {
  const IP = [
    [STREAM, 0],
    [STREAM, TCP],
    [DGRAM, 0],
    [DGRAM, UDP],
  ];

  function expected(family: number, type: number, protocol: number) {
    const ip = family === INET || family === INET6;
    if (family === UNIX) return 'allow';
    if (!ip && family !== NETLINK) return EAFNOSUPPORT;
    if (family === NETLINK) return protocol === 0 ? 'allow' : EPROTONOSUPPORT;
    if (IP.some(([t, p]) => t === type && p === protocol)) return 'allow';
    return protocol > UDP ? EPROTONOSUPPORT : ENOSYS;
  }

  test('of four families, and of these TCP, UDP, and the list of interfaces', () => {
    const wrong = [];
    for (let family = 0; family < 64; family += 1) {
      for (let type = 0; type < 16; type += 1) {
        for (const protocol of [...Array(24).keys(), 33, 58, 132, 136, 255, 256, MPTCP]) {
          const said = answer('socket', family, type | NONBLOCK_CLOEXEC, protocol);
          if (said !== expected(family, type, protocol)) {
            wrong.push({ family, type, protocol, said });
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test('not AF_VSOCK, which no firewall sees', () => {
    expect(answer('socket', VSOCK, STREAM, 0)).toBe(EAFNOSUPPORT);
    expect(answer('socketpair', VSOCK, STREAM, 0)).toBe(EAFNOSUPPORT);
  });

  test('not with a type that the kernel makes SCTP or AF_PACKET of', () => {
    for (const type of [SEQPACKET, PACKET]) expect(answer('socket', INET, type, 0)).toBe(ENOSYS);
  });

  test('not with bits above the 32 that the kernel looks at', () => {
    const high = 2 ** 32;
    for (const [family, protocol] of [
      [VSOCK + high, 0],
      [INET, MPTCP + high],
      [NETLINK, 9 + high],
    ]) {
      expect(answer('socket', family ?? 0, STREAM, protocol ?? 0)).not.toBe('allow');
    }
  });

  test('pairs are AF_UNIX', () => {
    const families = [...Array(64).keys()];
    const allowed = families.filter(
      (family) => answer('socketpair', family, STREAM, 0) === 'allow',
    );
    expect(allowed).toEqual([UNIX]);
  });
});

test('personality: the usual values, none of which makes memory executable or addresses known', () => {
  for (const usual of [0, 8, 0x20000, 0x20008, 0xffffffff]) {
    expect(answer('personality', usual)).toBe('allow');
  }
  for (const odd of [0x40000, 0x400000, 0x440000, 3]) {
    expect(answer('personality', odd)).toBe(ENOSYS);
  }
});

test('a transcription has what it needs', () => {
  const needed =
    'mmap mprotect mbind set_mempolicy get_mempolicy mlock memfd_create ioctl futex membarrier rseq set_robust_list sched_setaffinity prctl arch_prctl seccomp landlock_create_ruleset execve fork vfork wait4 pidfd_open pidfd_send_signal epoll_pwait2 eventfd2 inotify_init1 copy_file_range sendfile statx faccessat2 openat2 close_range getrandom clock_nanosleep accept4 sendmmsg';
  for (const name of needed.split(' ')) expect(answer(name), name).toBe('allow');
});
