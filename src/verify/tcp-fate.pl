# What became of the first packet of a connection that nothing has come back for.
use strict;
use warnings;

# Whether it left is known by its second sending, a second later: the kernel counts that one as under
# way (tcpi_retrans) only if nothing on the way out has dropped it, the gate's rules included. What comes
# back, or does not, plays no part: the kernel bounds how many refusals it sends (icmp_msgs_per_sec),
# and whoever shares the namespace can use them up.
# Gives "left", "dropped", "" before that, and "" for what is no TCP.
sub fate {
    my ($socket) = @_;
    my $info = getsockopt $socket, 6, 11 or return '';    # SOL_TCP, TCP_INFO: linux/tcp.h
    return '' if length $info < 104;
    my ( $under_way, $sent_again ) = unpack 'x36 L x60 L', $info;
    $under_way ? 'left' : $sent_again ? 'dropped' : '';
}

1;
