#!/usr/bin/perl
# Tries the ways out for which Node has no call: system calls here, sockets in socket-probe.pl.
# kernel-probes.ts runs it and has the names of the probes:
#   perl kernel-probe.pl proxy=ADDRESS gateway=ADDRESS public=ADDRESS own=ADDRESS device=NAME limit=SECONDS
# It prints a JSON object a line, {"id","what","state","detail"}, and {"id":"done"} last.
# Each probe has a process of its own, so that whatever it achieves, a keyring or a namespace,
# ends with it. The modules are those of Debian's perl-base.
use strict;
use warnings;
use Config;
use Errno;
use Fcntl qw(O_NONBLOCK);
use POSIX ();

$| = 1;
our %arg = map { split /=/, $_, 2 } @ARGV;

# Numbers of system calls, x86_64 first, then aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
my @table = qw(
    add_key           248  217    bpf               321  280    clone             56   220
    clone3            435  435    delete_module     176  106    finit_module      313  273
    fsconfig          431  431    fsmount           432  432    fsopen            430  430
    fspick            433  433    init_module       175  105    io_uring_setup    425  425
    kexec_file_load   320  294    kexec_load        246  104    keyctl            250  219
    mount             165  40     mount_setattr     442  442    move_mount        429  429
    open_by_handle_at 304  265    open_tree         428  428    perf_event_open   298  241
    pivot_root        155  41     request_key       249  218    setns             308  268
    socket            41   198    umount2           166  39     unshare           272  97
    userfaultfd       323  282
);
my %number;
while ( my ( $name, @numbers ) = splice @table, 0, 3 ) { $number{$name} = \@numbers }
my $machine = ( POSIX::uname() )[4];
our $column = $Config{ptrsize} != 8 ? undef : { x86_64 => 0, aarch64 => 1 }->{$machine};

our %error = map { no strict 'refs'; ( &{"Errno::$_"}() => $_ ) } reverse sort keys %!;

# Each prints what one attempt came to; `what` tells it from the others of its probe.
my $id;

sub report {
    my ( $what, $state, $detail ) = @_;
    s/[^\x20-\x21\x23-\x5b\x5d-\x7e]/?/g for $what, $detail;
    syswrite STDOUT, qq({"id":"$id","what":"$what","state":"$state","detail":"$detail"}\n);
}

sub call {
    my ( $name, @arguments ) = @_;
    syscall $number{$name}[$column], @arguments;
}

# Whether a system call gets through: any other error than these comes from behind the filter and the
# check for capabilities.
sub reaches {
    my ( $what, $name, @arguments ) = @_;
    defined $column or return report( $what, 'unknown', "no system call numbers for $machine here" );
    my $result = call( $name, @arguments );
    my $error = $result < 0 ? $error{ $! + 0 } // "error " . ( $! + 0 ) : undef;
    # The process that clone has made must not go on.
    POSIX::_exit(0) if $name eq 'clone' && defined $result && $result == 0;
    return report( $what, 'open', 'it was done' ) if !defined $error;
    report( $what, $error =~ /^E(?:PERM|ACCES|NOSYS)$/ ? 'closed' : 'open', $error );
}

# A probe that is several calls: each gets a process.
sub several {
    my ( $probe, @calls ) = @_;
    map { my $call = $_; [ $probe => sub { reaches( $call->[0], @$call ) } ] } @calls;
}

my %new = (
    mount   => 0x00020000,
    cgroup  => 0x02000000,
    uts     => 0x04000000,
    ipc     => 0x08000000,
    user    => 0x10000000,
    pid     => 0x20000000,
    network => 0x40000000,
    time    => 0x80,
);
my $SIGCHLD   = 17;
my $AT_FDCWD  = -100;
my $PROCESS_KEYRING = -2;
my $REVOKE    = 3;
my $NOWHERE   = '/proc/self/whisper-proxy-verify';    # exists on no system
my $NO_MOUNT  = '/proc/self/fd';                      # exists, and nothing is mounted there

require( ( $0 =~ m{^(.*)/} ? $1 : '.' ) . "/$_" ) for 'tcp-fate.pl', 'socket-probe.pl';

# Arguments are such that nothing comes of it if it is allowed: a type, a path or a descriptor that
# does not exist, flags that are refused after the check, or what ends with this process.
my @probes = (
    socket_probes(),
    ( map {
        my $kind = $_;
        [ "$kind-namespace" => sub { reaches( '', 'unshare', $new{$kind} ) } ]
    } sort keys %new ),
    [ clone  => sub { reaches( '', 'clone', $new{user} | $SIGCHLD, 0, 0, 0, 0 ) } ],
    [ clone3 => sub { reaches( '', 'clone3', 0, 0 ) } ],
    [ setns => sub {
        open my $own, '<', '/proc/self/ns/net' or return report( '', 'unknown', "/proc/self/ns/net: $!" );
        reaches( '', 'setns', fileno $own, 0 );
    } ],
    [ 'add-key' => sub {
        reaches( '', 'add_key', 'user', 'whisper-proxy-verify', 'x', 1, $PROCESS_KEYRING );
        defined $column and call( 'keyctl', $REVOKE, $PROCESS_KEYRING );
    } ],
    [ 'request-key' => sub { reaches( '', 'request_key', 'user', 'whisper-proxy-verify', 0, 0 ) } ],
    [ keyctl => sub { reaches( '', 'keyctl', 0, $PROCESS_KEYRING, 0 ) } ],    # KEYCTL_GET_KEYRING_ID
    [ bpf => sub { reaches( '', 'bpf', 0, pack( 'L4 x112', 2, 4, 4, 1 ), 72 ) } ],    # an array of one
    [ 'io-uring' => sub { reaches( '', 'io_uring_setup', 1, "\0" x 120 ) } ],
    [ userfaultfd => sub { reaches( '', 'userfaultfd', 1 ) } ],    # UFFD_USER_MODE_ONLY
    [ 'perf-event' => sub {
        # A counter that counts nothing, of this process, without the kernel.
        my $counter = pack 'LLQ x24 Q x64', 1, 112, 9, 0x60;
        reaches( '', 'perf_event_open', $counter, 0, -1, -1, 0 );
    } ],
    [ mount => sub { reaches( '', 'mount', 'none', '/', 'whisper-proxy-verify', 0, 0 ) } ],
    [ umount2 => sub { reaches( '', 'umount2', $NO_MOUNT, 0 ) } ],
    [ 'pivot-root' => sub { reaches( '', 'pivot_root', $NOWHERE, $NOWHERE ) } ],
    several( 'mount-files',
        [ 'fsopen', 'whisper-proxy-verify', 0 ],
        [ 'fspick', $AT_FDCWD, $NO_MOUNT, 0 ],
        [ 'fsconfig', -1, 0, 0, 0, 0 ],
        [ 'fsmount', -1, 0, 0 ],
        [ 'open_tree', $AT_FDCWD, '/', 1 ],
        [ 'move_mount', -1, $NOWHERE, -1, $NOWHERE, 0 ],
        [ 'mount_setattr', -1, $NOWHERE, 0, "\0" x 32, 32 ] ),
    several( 'kexec', [ 'kexec_load', 0, 1000, 0, 0x8000 ], [ 'kexec_file_load', -1, -1, 0, 0, 0x8000 ] ),
    several( 'modules',
        [ 'init_module', 0, 0, '' ],
        [ 'finit_module', -1, '', 0 ],
        [ 'delete_module', 'whisper_proxy_verify', O_NONBLOCK ] ),
    [ 'file-handle' => sub { reaches( '', 'open_by_handle_at', $AT_FDCWD, pack( 'LlQ', 8, 1, 0 ), 0 ) } ],
);

my %is_several = map { $_->[0] => 1 } socket_probes();
my %running;

sub reap {
    my $child = wait;
    $id = delete $running{$child} // return;
    return if $? == 0;
    my $signal = $? & 127;
    # A filter may also kill. That one call got nowhere then, but of several some were not made.
    return report( '', 'closed', 'killed for trying (SIGSYS)' ) if $signal == 31 && !$is_several{$id};
    report( '', 'unknown', $signal ? "ended by signal $signal" : 'failed' );
}

for my $probe (@probes) {
    reap() while keys %running >= 8;
    ( $id, my $try ) = @$probe;
    my $child = fork;
    if ( !defined $child ) { report( '', 'unknown', "fork: $!" ); next }
    if ( $child == 0 ) {
        alarm 8;
        my $done = eval { $try->(); 1 };
        report( '', 'unknown', "failed: $@" ) if !$done;
        POSIX::_exit(0);
    }
    $running{$child} = $id;
}
reap() while %running;
print qq({"id":"done"}\n);
