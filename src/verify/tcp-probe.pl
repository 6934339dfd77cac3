#!/usr/bin/perl
# Opens connections, and sees of each whether it left this namespace, whatever comes back:
#   perl tcp-probe.pl limit=SECONDS
# tcp-prober.ts writes a line "ID ADDRESS PORT" for each, and gets a JSON object a line,
# {"id","fate"}: "connected", the name of an error, or what tcp-fate.pl says. It ends with its input.
# The modules are those of Debian's perl-base.
use strict;
use warnings;
use Errno;
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use POSIX ();
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6);

require( ( $0 =~ m{^(.*)/} ? $1 : '.' ) . '/tcp-fate.pl' );

$| = 1;
my %arg = map { split /=/, $_, 2 } @ARGV;
my %error = map { no strict 'refs'; ( &{"Errno::$_"}() => $_ ) } reverse sort keys %!;
my $TICKS = POSIX::sysconf(POSIX::_SC_CLK_TCK());
sub now { ( POSIX::times() )[0] / $TICKS }

# How long it is waited for the kernel to send a first packet again, which it does after a second.
my $PATIENCE = 8;
my %open;

sub report {
    my ( $id, $fate ) = @_;
    delete $open{$id};
    syswrite STDOUT, qq({"id":$id,"fate":"$fate"}\n);
}

sub name { $error{ $_[0] + 0 } // 'error ' . ( $_[0] + 0 ) }

sub begin {
    my ( $id, $address, $port ) = @_;
    my $is_six = $address =~ /:/;
    socket my $socket, $is_six ? AF_INET6 : AF_INET, SOCK_STREAM, 0 or return report( $id, name($!) );
    fcntl $socket, F_SETFL, fcntl( $socket, F_GETFL, 0 ) | O_NONBLOCK;
    my $to = $is_six ? pack_sockaddr_in6( $port, inet_pton( AF_INET6, $address ) )
                     : pack_sockaddr_in( $port, inet_aton($address) );
    connect $socket, $to and return report( $id, 'connected' );
    return report( $id, name($!) ) if !$!{EINPROGRESS};
    $open{$id} = { socket => $socket, since => now() };
}

# What there is to say of one that nothing has come back for yet.
sub look {
    my ($id) = @_;
    my $waited = now() - $open{$id}{since};
    my $fate   = fate( $open{$id}{socket} );
    # Who left may still get an answer, which says more.
    report( $id, $fate ) if $fate eq 'dropped' || $waited > $arg{limit} && $fate eq 'left' || $waited > $PATIENCE;
}

my $input = '';
while (1) {
    my ( $readable, $writable ) = ( '', '' );
    vec( $readable, fileno STDIN, 1 ) = 1;
    vec( $writable, fileno $_->{socket}, 1 ) = 1 for values %open;
    select $readable, $writable, undef, 0.1;
    for my $id ( keys %open ) {
        my $socket = $open{$id}{socket};
        if ( !vec $writable, fileno $socket, 1 ) { look($id); next }
        my $code = unpack 'i', getsockopt $socket, SOL_SOCKET, SO_ERROR;
        report( $id, $code ? name($code) : 'connected' );
    }
    next if !vec $readable, fileno STDIN, 1;
    sysread STDIN, $input, 65536, length $input or last;
    begin( split / /, $1 ) while $input =~ s/^(.*)\n//;
}
