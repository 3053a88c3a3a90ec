@routing
Feature: Routes of MT messages

  Which connector a message takes, and where it goes when an SMSC refuses it.

  Scenario: A refused message moves to the next connector of its route
    Given a connector "first" to the SMSC "one"
    And a connector "second" to the SMSC "two"
    And messages go to "first" and, on ESME_RSYSERR, to "second"
    And the SMSC "one" answers ESME_RSYSERR to the next 1 message
    And a running gateway
    When a message is sent
    Then it is accepted
    And the SMSC "two" gets the message

  Scenario: A message goes to the cheapest connector
    Given a connector "dear" to the SMSC "one"
    And a connector "cheap" to the SMSC "two"
    And messages go to the cheapest of "dear" at 0.5 and "cheap" at 0.2
    And a running gateway
    When a message is sent
    Then it is accepted
    And the SMSC "two" gets the message

  Scenario: The route of the highest order whose filters match wins
    Given a connector "main" to the SMSC "one"
    And a connector "france" to the SMSC "two"
    And a connector "short" to the SMSC "three"
    And everything is routed to "main"
    And the provisioning file also declares:
      """
      filters:
        - {fid: france, type: DestinationAddrFilter, destination_addr: '^33'}
        - {fid: paris, type: DestinationAddrFilter, destination_addr: '^331'}
        - {fid: acme, type: SourceAddrFilter, source_addr: '^ACME$'}
      mt_routes:
        - {type: StaticMTRoute, order: 30, filters: [paris, acme], connector: smppc(short)}
        - {type: StaticMTRoute, order: 20, filters: [france], connector: smppc(france)}
      """
    And a running gateway
    Then messages to these numbers go where the table says:
      | to       | from | SMSC  |
      | 33100001 | ACME | three |
      | 33100002 | BETA | two   |
      | 33200003 | ACME | two   |
      | 34100004 | ACME | one   |

  Scenario Outline: A <type> shares the messages
    Given a connector "main" to the SMSC "one"
    And a connector "other" to the SMSC "two"
    And the provisioning file also declares:
      """
      filters:
        - {fid: any, type: TransparentFilter}
      mt_routes:
        - {type: <type>, order: 20, filters: [any], connectors: 'smppc(main);smppc(other)'<keys>}
      """
    And a running gateway
    Then 60 messages are shared by the SMSCs:
      | SMSC | least   | most   |
      | one  | <least> | <most> |
      | two  | 1       | 59     |

    Examples: at random, so that the bounds leave room
      | type                    | keys              | least | most |
      | RandomRoundrobinMTRoute |                   | 1     | 59   |
      | WeightedMTRoute         | , weights: '80;20' | 20   | 59   |
      | BestQualityMTRoute      |                   | 1     | 59   |

  Scenario Outline: A <type> leaves out a connector that is not bound
    Given a connector "main" to the SMSC "one"
    And a connector "other" to the SMSC "two"
    And the SMSC "one" is down
    And the provisioning file also declares:
      """
      filters:
        - {fid: any, type: TransparentFilter}
      mt_routes:
        - {type: <type>, order: 20, filters: [any], connectors: 'smppc(main);smppc(other)'<keys>}
      """
    And a running gateway
    Then messages to these numbers go where the table says:
      | to       | SMSC |
      | 33100001 | two  |
      | 33100002 | two  |
      | 33100003 | two  |
      | 33100004 | two  |
      | 33100005 | two  |
      | 33100006 | two  |

    Examples:
      | type               | keys               |
      | FailoverMTRoute    |                    |
      | WeightedMTRoute    | , weights: '80;20' |
      | LeastCostMTRoute   | , rates: '0.1;0.2' |
      | BestQualityMTRoute |                    |

  Scenario: A failover route without a bound connector refuses
    Given a connector "main" to the SMSC "one"
    And a connector "other" to the SMSC "two"
    And the SMSC "one" is down
    And the SMSC "two" is down
    And the provisioning file also declares:
      """
      filters:
        - {fid: any, type: TransparentFilter}
      mt_routes:
        - {type: FailoverMTRoute, order: 20, filters: [any], connectors: 'smppc(main);smppc(other)'}
      """
    And a running gateway
    When a message is sent
    Then the answer is 412 Error "Failover route has no bound connectors"
