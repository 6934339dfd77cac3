import { describe, expect, test } from 'vitest';
import { addressForms, classifyAddress } from '../src/policy/addresses.ts';
import { canonicalAddress } from '../src/policy/host.ts';

describe('the class of an address', () => {
  test.each([
    ['8.8.8.8', 'public'],
    ['1.1.1.1', 'public'],
    ['192.31.196.1', 'public'],
    ['192.175.48.1', 'public'],
    ['100.63.255.255', 'public'],
    ['100.128.0.0', 'public'],
    ['172.15.255.255', 'public'],
    ['172.32.0.0', 'public'],
    ['223.255.255.255', 'public'],
    ['2606:4700::1111', 'public'],
    ['2620:4f:8000::1', 'public'],
    ['64:ff9b::808:808', 'public'],
    ['0.0.0.0', 'unspecified'],
    ['0.1.2.3', 'unspecified'],
    ['10.0.0.1', 'private'],
    ['100.64.0.1', 'shared'],
    ['100.127.255.255', 'shared'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['169.254.1.1', 'link_local'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.0.0.1', 'protocol'],
    ['192.0.0.10', 'protocol'],
    ['192.0.2.1', 'documentation'],
    ['192.88.99.1', 'relay'],
    ['192.168.0.1', 'private'],
    ['198.18.0.1', 'benchmarking'],
    ['198.19.255.255', 'benchmarking'],
    ['198.51.100.1', 'documentation'],
    ['203.0.113.1', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['::127.0.0.1', 'translation'],
    ['::8.8.8.8', 'translation'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['64:ff9b::a00:1', 'private'],
    ['64:ff9b:1::808:808', 'translation'],
    ['::ffff:0:8.8.8.8', 'unallocated'],
    ['2606:4700::5efe:808:808', 'public'],
    ['2606:4700::200:5efe:808:808', 'public'],
    ['2606:4700::5efe:7f00:1', 'loopback'],
    ['2606:4700::200:5efe:a00:1', 'private'],
    ['2606:4700::300:5efe:a00:1', 'public'],
    ['100::1', 'discard'],
    ['100:0:0:1::1', 'discard'],
    ['2001::1', 'protocol'],
    ['2001:20::1', 'protocol'],
    ['2001:1ff:ffff::1', 'protocol'],
    ['2001:200::1', 'public'],
    ['2001:db8::1', 'documentation'],
    ['2002:808:808::1', 'relay'],
    ['3fff::1', 'documentation'],
    ['3fff:fff::1', 'documentation'],
    ['4000::1', 'unallocated'],
    ['5f00::1', 'protocol'],
    ['fc00::1', 'private'],
    ['fdff::1', 'private'],
    ['fe80::1', 'link_local'],
    ['febf::1', 'link_local'],
    ['fec0::1', 'private'],
    ['ff02::1', 'multicast'],
    ['169.254.169.254', 'metadata'],
    ['100.100.100.200', 'metadata'],
    ['168.63.129.16', 'metadata'],
    ['192.0.0.192', 'metadata'],
    ['fd00:ec2::254', 'metadata'],
    ['fd00:ec2::23', 'metadata'],
    ['fd00:ec2::253', 'metadata'],
    ['fd20:ce::254', 'metadata'],
    ['fd00:c1::a9fe:a9fe', 'metadata'],
    ['fd00:42::42', 'metadata'],
    ['fd00:a9fe:a9fe::1', 'metadata'],
    ['fd00:100::100:200', 'metadata'],
    ['fd00:ec1::254', 'private'],
    ['fd00:42::43', 'private'],
  ])('%s is %s', (address, name) => {
    const found = classifyAddress(canonicalAddress(address));
    expect(found.name).toBe(name);
    expect(found.public).toBe(name === 'public');
  });

  test.each([
    '169.254.0.1',
    '169.254.169.254',
    'fe80::1',
    'fd00:ec2::254',
    '168.63.129.16',
    '::ffff:169.254.169.254',
    '::169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '::ffff:0:169.254.169.254',
    // RFC 6052, section 2.2, behind prefixes of 48, 56, 64 and 96 bits.
    '64:ff9b:1:a9fe:a9:fe00::',
    '64:ff9b:1:12a9:fe:a9fe::',
    '64:ff9b:1:1234:a9:fea9:fe00:0',
    '64:ff9b:1::a9fe:a9fe',
    '64:ff9b:1:1234:5678:9abc:a9fe:a9fe',
    // With bits in byte 8 and in the suffix, which have no meaning.
    '64:ff9b:1:a9fe:ffa9:feff:ffff:ffff',
    '2002:a9fe:a9fe::1',
    // Teredo: the client, and the server.
    '2001:0:808:808:1:1:5601:5601',
    '2001:0:a9fe:a9fe:1:1:f7f7:f7f7',
    '2606:4700::5efe:a9fe:a9fe',
    '2606:4700::200:5efe:a9fe:a9fe',
    // Two of them in one.
    '2002:808:808::5efe:a9fe:a9fe',
    '0.0.0.0',
    '0.0.0.1',
    '0.255.255.255',
    '::',
    '::ffff:0.0.0.0',
    '::ffff:0:0.0.0.0',
    '64:ff9b::',
    '64:ff9b::0.1.2.3',
    '64:ff9b:1::',
    '2002::1',
    '2606:4700::5efe:0:0',
  ])('%s is never reached, whatever carries it', (address) => {
    expect(classifyAddress(canonicalAddress(address)).never).toBe(true);
  });

  test.each([
    '10.0.0.1',
    '127.0.0.1',
    '::1',
    'fc00::1',
    'fd00:ec1::1',
    '203.0.113.1',
    '8.8.8.8',
    '::8.8.8.8',
    '64:ff9b::10.0.0.1',
    '64:ff9b:1:808:8:800::',
    '64:ff9b:1:1208:8:808::',
    '64:ff9b:1:1234:8:808:800:0',
    '64:ff9b:1::808:808',
    '2002:808:808::1',
    '2001:0:808:808:1:1:f7f7:f7f7',
  ])('%s can be opened by a rule', (address) => {
    expect(classifyAddress(canonicalAddress(address)).never).toBe(false);
  });
});

test('the forms of an address are itself and the IPv4 addresses that it may carry', () => {
  expect(addressForms('8.8.8.8')).toEqual(['8.8.8.8']);
  expect(addressForms('2606:4700::1111')).toEqual(['2606:4700::1111']);
  expect(addressForms('::1')).toEqual(['::1']);
  expect(addressForms('64:ff9b::a59:4d03')).toEqual(['64:ff9b::a59:4d03', '10.89.77.3']);
  expect(addressForms('64:ff9b:1:a59:4d:300::')).toContain('10.89.77.3');
  expect(addressForms('2001:0:808:808:1:1:f5a6:b2fc')).toEqual([
    '2001:0:808:808:1:1:f5a6:b2fc',
    '8.8.8.8',
    '10.89.77.3',
  ]);
});

test.each(['', 'x', '1.2.3', '1.2.3.4.5', ':::', '[::1]'])('%j is no address', (text) => {
  expect(() => canonicalAddress(text)).toThrow(RangeError);
});
