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
