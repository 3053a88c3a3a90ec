@mo
Feature: Messages from mobiles

  What an SMSC delivers and is no receipt goes to the URL or the ESME that the MO routes name, whole,
  and is acknowledged when it is durable.

  Scenario: A message for an ESME
    Given MO go to "smpps(foo)"
    And a running gateway
    And the ESME "foo" binds
    When a mobile sends "hello"
    Then the SMSC is answered ESME_ROK
    And the ESME "foo" gets, in this order:
      | pdu        | from   | to    | text  |
      | deliver_sm | 336123 | 85111 | hello |
    When a mobile sends "again" with:
      | pdu | data_sm |
    Then the ESME "foo" gets, in this order:
      | pdu     | from   | to    | text  |
      | data_sm | 336123 | 85111 | again |

  Scenario: Messages wait for an ESME over a restart
    Given MO go to "smpps(foo)"
    And a running gateway
    When a mobile sends "one"
    And a mobile sends "two"
    And the gateway stops
    And the gateway starts again
    And the ESME "foo" binds
    Then the ESME "foo" gets, in this order:
      | text |
      | one  |
      | two  |

  Scenario: An ESME gets the parts of a long message in order, however they came
    Given MO go to "smpps(foo)"
    And a running gateway
    And the ESME "foo" binds
    When a mobile sends "{a*153}{b*153}{c*10}" with:
      | order     | [3, 1, 2] |
      | reference | 7         |
    Then the ESME "foo" gets, in this order:
      | esm_class | text                             |
      | 64        | \x05\x00\x03\a\x03\x01{a*153}    |
      | 64        | \x05\x00\x03\a\x03\x02{b*153}    |
      | 64        | \x05\x00\x03\a\x03\x03{c*10}     |

  Scenario: Parts come before and after a restart
    Given MO go to "smpps(foo)"
    And a running gateway
    When a mobile sends "{a*153}{b*20}" with:
      | order     | [2] |
      | reference | 9   |
    Then the SMSC is answered ESME_ROK
    When the gateway stops
    And the gateway starts again
    And the ESME "foo" binds
    And a mobile sends "{a*153}{b*20}" with:
      | order     | [1] |
      | reference | 9   |
    Then the ESME "foo" gets, in this order:
      | text                           |
      | \x05\x00\x03\t\x02\x01{a*153}  |
      | \x05\x00\x03\t\x02\x02{b*20} |

  Scenario: A missing part does not keep the others for ever
    Given the setting [sm-listener] long_mo_timeout is "0.2"
    And MO go to "smpps(foo)"
    And a running gateway
    And the ESME "foo" binds
    When a mobile sends "{a*153}{b*20}" with:
      | order     | [2] |
      | reference | 9   |
    Then the ESME "foo" gets, in this order:
      | text                    |
      | \x05\x00\x03\t\x02\x02{b*20} |

  Scenario Outline: A script answers the SMSC
    Given MO go to "smpps(foo)"
    And the provisioning file also declares:
      """
      mo_interceptors:
        - type: DefaultInterceptor
          script: python3(/mo.py)
          code: |
            <script>
      """
    And a running gateway
    When a mobile sends "hello"
    Then the SMSC is answered <status>

    Examples:
      | script                 | status                |
      | smpp_status = 254      | ESME_RDELIVERYFAILURE |
      | http_status = 403      | ESME_RUNKNOWNERR      |
      | raise ValueError('no') | ESME_RSYSERR          |
      | smpp_status = 0        | ESME_ROK              |

  Scenario: A script tags and changes messages, filters choose
    Given the user "foo" with password "bar"
    And the user "bob" with password "bob"
    And the provisioning file also declares:
      """
      filters:
        - {fid: tagged, type: TagFilter, tag: vip}
        - {fid: stop, type: ShortMessageFilter, short_message: '^стоп'}
        - fid: digits
          type: EvalPyFilter
          pyCode: expr(content matches "^[0-9]+$")
      mo_interceptors:
        - type: DefaultInterceptor
          script: python3(/mo.py)
          code: |
            if routable.pdu.params['source_addr'] == b'1':
                routable.addTag('vip')
                routable.pdu.params['source_addr'] = b'one'
                routable.lockPduParam('source_addr')
      mo_routes:
        - {type: StaticMORoute, order: 30, filters: [tagged], connector: smpps(foo)}
        - {type: StaticMORoute, order: 20, filters: [stop], connector: smpps(foo)}
        - {type: FailoverMORoute, order: 10, filters: [digits], connectors: [smpps(bob), smpps(foo)]}
        - {type: DefaultRoute, connector: smpps(bob)}
      """
    And a running gateway
    And the ESME "foo" binds
    When a mobile sends "from one" with:
      | from | 1 |
    Then the ESME "foo" gets, in this order:
      | from | text     |
      | one  | from one |
    When a mobile sends "стоп"
    Then the ESME "foo" gets, in this order:
      | text                             |
      | \x04A\x04B\x04>\x04?             |
    When a mobile sends "12345"
    Then the ESME "foo" gets, in this order:
      | text  |
      | 12345 |
    When the ESME "bob" binds
    And a mobile sends "678"
    And a mobile sends "others"
    Then the ESME "bob" gets, in this order:
      | text   |
      | 678    |
      | others |

  Scenario: A message without a route is answered and kept
    Given a running gateway
    When a mobile sends "hello"
    Then the SMSC is answered ESME_ROK

  Scenario Outline: A page is called by <method> with a message of coding <coding>
    Given the provisioning file also declares:
      """
      http_connectors:
        - {cid: shop, url: '{pages}/shop', method: <method>}
      mo_routes:
        - {type: DefaultRoute, connector: http(shop)}
      """
    And a running gateway
    When a mobile sends "" with:
      | hex         | <octets> |
      | data_coding | <coding> |
    Then the SMSC is answered ESME_ROK
    And the page "/shop" is called by <method> with:
      | id               | /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/ |
      | from             | 336123    |
      | to               | 85111     |
      | origin-connector | abc       |
      | priority         | 0         |
      | coding           | <coding>  |
      | content          | <content> |
      | binary           | <octets>  |
      | validity         | -         |
      | udh              | -         |
      | tlv_params       | -         |
      | custom_tlvs      | -         |
      | missing-parts    | -         |

    Examples: the GSM alphabet and its classes
      | method | coding | octets         | content |
      | GET    | 0      | 636166051b6500 | café€@  |
      | POST   | 240    | 054000         | é¡@     |

    Examples: alphabets of one octet
      | method | coding | octets       | content |
      | POST   | 1      | 7e407b       | ~@{     |
      | GET    | 3      | e9e8fc       | éèü     |
      | POST   | 3      | a3b5         | £µ      |
      | GET    | 6      | bfe0d8d2d5e2 | Привет  |
      | POST   | 7      | f9ece5ed     | שלום    |

    Examples: UCS2, and UTF-16 beyond it
      | method | coding | octets           | content |
      | GET    | 8      | 05e905dc05d505dd | שלום    |
      | POST   | 8      | d83dde0020ac     | 😀€      |

    Examples: UCS2 behind a byte order mark, which is no text
      | method | coding | octets               | content |
      | GET    | 8      | feff05e905dc05d505dd | שלום    |
      | POST   | 8      | fffee905dc05d505dd05 | שלום    |

    Examples: East Asia
      | method | coding | octets | content |
      | GET    | 5      | 82a0   | あ       |
      | POST   | 14     | b0a1   | 가       |

    Examples: octets of no alphabet, which are UTF-8 where they can be
      | method | coding | octets | content |
      | GET    | 4      | c3a9   | é       |
      | POST   | 2      | e9ff   | éÿ      |

  # Of priority 2, valid for a day, of coding 4, with a header of ports, a user_message_reference and the tag 0x1401.
  Scenario: A page is told what only some messages have
    Given MO go to "http(shop)"
    And a running gateway
    When a mobile sends "" with:
      | raw | 000000580000000500000000000000010001013231363230323033303630000000383531313100400002003030303030313030303030303030305200000004000b0605040b8423f06461746102040002010214010002c3a9 |
    Then the page "/shop" is called by GET with:
      | from        | 21620203060                                       |
      | to          | 85111                                             |
      | priority    | 2                                                 |
      | coding      | 4                                                 |
      | validity    | /20\d\d-[01]\d-[0-3]\d [012]\d:[0-5]\d:[0-5]\d/   |
      | content     | data                                              |
      | binary      | 64617461                                          |
      | udh         | 0605040b8423f0                                    |
      | tlv_params  | {"user_message_reference":"258"}                  |
      | custom_tlvs | [{"tag":5121,"length":2,"type":"OctetString","value":"c3a9"}] |

  Scenario: A message whose text is in message_payload
    Given MO go to "http(shop)"
    And a running gateway
    When a mobile sends "{a*300}" with:
      | split | payload |
    Then the page "/shop" is called by GET with:
      | content | {a*300} |
      | udh     | -       |
    When a mobile sends "{б*80}" with:
      | pdu | data_sm |
    Then the page "/shop" is called by GET with:
      | content | {б*80} |
      | coding  | 8      |

  Scenario: A failover route to pages, the first of which is down
    Given the provisioning file also declares:
      """
      http_connectors:
        - {cid: first, url: '{pages}/first', method: GET}
        - {cid: second, url: '{pages}/second', method: POST}
      filters:
        - {fid: all, type: TransparentFilter}
      mo_routes:
        - {type: FailoverMORoute, order: 10, filters: [all], connectors: [http(first), http(second)]}
        - {type: DefaultRoute, connector: http(first)}
      """
    And the setting [deliversm-thrower] retry_delay is "3600"
    And the page "/first" refuses messages
    And a running gateway
    When a mobile sends "hello"
    Then the page "/second" is called by POST with:
      | content | hello |
    And the page "/first" was called 1 time
    When the page "/first" is well again
    And a mobile sends "again"
    Then the page "/first" is called by GET with:
      | content | again |
    And the page "/second" was called 1 time

  Scenario: A failover route to pages, none of which exists
    Given the provisioning file also declares:
      """
      http_connectors:
        - {cid: first, url: '{pages}/first', method: GET}
        - {cid: second, url: '{pages}/second', method: GET}
      filters:
        - {fid: all, type: TransparentFilter}
      mo_routes:
        - {type: FailoverMORoute, order: 10, filters: [all], connectors: [http(first), http(second)]}
        - {type: DefaultRoute, connector: http(first)}
      """
    And the setting [deliversm-thrower] max_retries is "1"
    And the page "/first" answers 404 "no"
    And the page "/second" answers 404 "no"
    And a running gateway
    When a mobile sends "hello"
    And the operator logs in
    Then "stats --deadletters" shows at last:
      """
      /#Queue +Cause +Letters/
      /#deliver_sm_thrower\.http +retries +1/
      Total dead letters: 1
      """
    And the page "/first" was called 2 times
    And the page "/second" was called 2 times

  Scenario: A random route to a page and an ESME
    Given the provisioning file also declares:
      """
      http_connectors:
        - {cid: shop, url: '{pages}/shop', method: GET}
      filters:
        - {fid: all, type: TransparentFilter}
      mo_routes:
        - {type: RandomRoundrobinMORoute, order: 10, filters: [all], connectors: [http(shop), smpps(foo)]}
        - {type: DefaultRoute, connector: http(shop)}
      """
    And a running gateway
    And the ESME "foo" binds
    Then mobiles write until both the page "/shop" and the ESME "foo" have got something, each message once

  Scenario Outline: A route whose filter is a <type>
    Given the provisioning file also declares:
      """
      http_connectors:
        - {cid: shop, url: '{pages}/shop', method: GET}
        - {cid: other, url: '{pages}/other', method: GET}
      mo_interceptors:
        - type: DefaultInterceptor
          script: python3(/mo.py)
          code: |
            if routable.pdu.params['source_addr'] == b'4477': routable.addTag('uk')
      filters:
        - {fid: it, type: <type><parameter>}
      mo_routes:
        - {type: StaticMORoute, order: 10, filters: [it], connector: http(shop)}
        - {type: DefaultRoute, connector: http(other)}
      """
    And a running gateway
    When a mobile sends "привет" with:
      | from | 4477 |
      | to   | 1000 |
    Then the page "<one>" is called by GET with:
      | content | привет |
    When a mobile sends "hello" with:
      | from | 3366 |
      | to   | 2000 |
    Then the page "<two>" is called by GET with:
      | content | hello |

    Examples:
      | type                  |   parameter                                                                 | one    | two    |
      | TransparentFilter     |                                                                             | /shop  | /shop  |
      | ConnectorFilter       | , cid: abc                                                                  | /shop  | /shop  |
      | ConnectorFilter       | , cid: another                                                              | /other | /other |
      | SourceAddrFilter      | , source_addr: '^44'                                                        | /shop  | /other |
      | DestinationAddrFilter | , destination_addr: '^1000$'                                                | /shop  | /other |
      | ShortMessageFilter    | , short_message: '^при'                                                     | /shop  | /other |
      | DateIntervalFilter    | , dateInterval: '2000-01-01;2999-12-31'                                     | /shop  | /shop  |
      | DateIntervalFilter    | , dateInterval: '2000-01-01;2000-12-31'                                     | /other | /other |
      | TimeIntervalFilter    | , timeInterval: '00:00:00;23:59:59'                                         | /shop  | /shop  |
      | TagFilter             | , tag: uk                                                                   | /shop  | /other |
      | EvalPyFilter          | , pyCode: '/f.py', code: "result = routable.pdu.params['source_addr'] == b'4477'" | /shop  | /other |

  Scenario Outline: Five parts by <split> in the order <order>
    Given MO go to "http(shop)"
    And a running gateway
    When a mobile sends "{a*<size>}{b*<size>}{c*<size>}{d*<size>}{e*20}" with:
      | order     | <order> |
      | reference | 300     |
      | split     | <split> |
    Then the SMSC is answered ESME_ROK
    And the page "/shop" is called by GET with:
      | content       | {a*<size>}{b*<size>}{c*<size>}{d*<size>}{e*20} |
      | udh           | -       |
      | tlv_params    | -       |
      | missing-parts | -       |
    When a mobile sends "the next"
    Then the page "/shop" is called by GET with:
      | content | the next |
    And the page "/shop" was called 2 times

    Examples:
      | split | size | order           |
      | udh   | 153  | [1, 2, 3, 4, 5] |
      | udh   | 153  | [5, 4, 3, 2, 1] |
      | udh   | 153  | [3, 5, 1, 4, 2] |
      | udh16 | 152  | [2, 1, 5, 3, 4] |
      | udh16 | 152  | [5, 1, 4, 2, 3] |
      | sar   | 153  | [4, 5, 1, 3, 2] |
      | sar   | 153  | [5, 2, 3, 1, 4] |

  Scenario Outline: An ESME gets five parts by <split> in order
    Given MO go to "smpps(foo)"
    And a running gateway
    And the ESME "foo" binds
    When a mobile sends "{a*<size>}{b*<size>}{c*<size>}{d*<size>}{e*20}" with:
      | order     | [4, 2, 5, 3, 1] |
      | reference | 300             |
      | split     | <split>         |
    Then the ESME "foo" gets, in this order:
      | esm_class | text              |
      | <class>   | <header 1>{a*<size>} |
      | <class>   | <header 2>{b*<size>} |
      | <class>   | <header 3>{c*<size>} |
      | <class>   | <header 4>{d*<size>} |
      | <class>   | <header 5>{e*20}     |

    Examples:
      | split | size | class | header 1                   | header 2                   | header 3                   | header 4                   | header 5                   |
      | udh16 | 152  | 64    | \x06\b\x04\x01,\x05\x01    | \x06\b\x04\x01,\x05\x02    | \x06\b\x04\x01,\x05\x03    | \x06\b\x04\x01,\x05\x04    | \x06\b\x04\x01,\x05\x05    |
      | sar   | 153  | 0     |                            |                            |                            |                            |                            |

  Scenario Outline: Two senders with one reference, by <split>
    Given MO go to "http(shop)"
    And a running gateway
    When a mobile sends "{a*<size>}{b*20}" with:
      | from      | 4477    |
      | order     | [2]     |
      | reference | 7       |
      | split     | <split> |
    And a mobile sends "{c*<size>}{d*20}" with:
      | from      | 3366    |
      | order     | [1]     |
      | reference | 7       |
      | split     | <split> |
    And a mobile sends "{a*<size>}{b*20}" with:
      | from      | 4477    |
      | order     | [1]     |
      | reference | 7       |
      | split     | <split> |
    Then the page "/shop" is called by GET with:
      | from    | 4477             |
      | content | {a*<size>}{b*20} |
    When a mobile sends "{c*<size>}{d*20}" with:
      | from      | 3366    |
      | order     | [2]     |
      | reference | 7       |
      | split     | <split> |
    Then the page "/shop" is called by GET with:
      | from    | 3366             |
      | content | {c*<size>}{d*20} |
    And the page "/shop" was called 2 times

    Examples:
      | split | size |
      | udh   | 153  |
      | udh16 | 152  |
      | sar   | 153  |

  Scenario Outline: A restart between the parts, by <split>
    Given MO go to "http(shop)"
    And a running gateway
    When a mobile sends "{a*<size>}{b*<size>}{c*20}" with:
      | order     | [3, 1]  |
      | reference | 300     |
      | split     | <split> |
    Then the SMSC is answered ESME_ROK
    When the gateway stops
    And the gateway starts again
    And a mobile sends "{a*<size>}{b*<size>}{c*20}" with:
      | order     | [2]     |
      | reference | 300     |
      | split     | <split> |
    Then the page "/shop" is called by GET with:
      | content       | {a*<size>}{b*<size>}{c*20} |
      | missing-parts | -                          |
    And the page "/shop" was called 1 time

    Examples:
      | split | size |
      | udh   | 153  |
      | udh16 | 152  |
      | sar   | 153  |

  @process
  Scenario: The gateway is killed between the parts
    Given MO go to "http(shop)"
    And a running gateway
    When a mobile sends "{a*153}{b*153}{c*20}" with:
      | order     | [3, 1] |
      | reference | 7      |
    Then the SMSC is answered ESME_ROK
    When the gateway is killed
    And the gateway starts again
    And a mobile sends "{a*153}{b*153}{c*20}" with:
      | order     | [2] |
      | reference | 7   |
    Then the page "/shop" is called by GET with:
      | content       | {a*153}{b*153}{c*20} |
      | missing-parts | -                    |

  Scenario Outline: A page is told which parts are missing, by <split>
    Given MO go to "http(shop)"
    And the setting [sm-listener] long_mo_timeout is "0.2"
    And a running gateway
    When a mobile sends "{a*<size>}{b*<size>}{c*<size>}{d*20}" with:
      | order     | [4, 2]  |
      | reference | 300     |
      | split     | <split> |
    Then the page "/shop" is called by GET with:
      | content       | {b*<size>}{d*20} |
      | missing-parts | 1,3              |
    And the page "/shop" was called 1 time

    Examples:
      | split | size |
      | udh   | 153  |
      | udh16 | 152  |
      | sar   | 153  |

  Scenario: A message whose parts are missing while the gateway is away
    Given MO go to "http(shop)"
    And the setting [sm-listener] long_mo_timeout is "0.5"
    And a running gateway
    When a mobile sends "{a*153}{b*20}" with:
      | order     | [2] |
      | reference | 7   |
    And the gateway stops
    And the gateway starts again
    Then the page "/shop" is called by GET with:
      | content       | {b*20} |
      | missing-parts | 1      |

  Scenario: A long message with characters that were cut in two
    Given MO go to "http(shop)"
    And a running gateway
    When a mobile sends "" with:
      | hex         | 050003090201d83d |
      | esm_class   | 64               |
      | data_coding | 8                |
    And a mobile sends "" with:
      | hex         | 050003090202de000021 |
      | esm_class   | 64                   |
      | data_coding | 8                    |
    Then the page "/shop" is called by GET with:
      | content | 😀!          |
      | binary  | d83dde000021 |

  # 0x1400 is 258, 0x1401 a text with its NUL, 0x1402 too long for its type, 0x1403 without a rule.
  Scenario: A page is told vendors' parameters by the types of the connector's rules
    Given MO go to "http(shop)"
    And the connector has:
      | custom_tlvs | 0x1400,Int2,2;0x1401,COctetString,-;0x1402,Int1,-;0x1404,Int4,4 |
    And a running gateway
    When a mobile sends "hello" with:
      | tlvs | [{"tag": "0x1400", "value": "0102"}, {"tag": "0x1401", "value": "686900"}, {"tag": "0x1402", "value": "0102"}, {"tag": "0x1403", "value": "07"}] |
    Then the page "/shop" is called by GET with:
      | custom_tlvs | [{"tag":5120,"length":2,"type":"Int2","value":258},{"tag":5121,"length":3,"type":"COctetString","value":"hi"},{"tag":5122,"length":2,"type":"OctetString","value":"0102"},{"tag":5123,"length":1,"type":"OctetString","value":"07"}] |
