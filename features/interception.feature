@interception
Feature: Scripts on messages

  A script of the operator's sees each message before it is routed. It changes or refuses it,
  or answers it by itself.

  Scenario: A script changes a message, also the number that it is routed by
    Given a connector "main" to the SMSC "one"
    And a connector "france" to the SMSC "two"
    And everything is routed to "main"
    And numbers that begin with "33" are routed to "france"
    And messages are intercepted by the script:
      """
      routable.pdu.params['source_addr'] = b'ACME'
      routable.pdu.params['destination_addr'] = b'33' + routable.pdu.params['destination_addr']
      """
    And a running gateway
    When a message is sent with:
      | to | 612345678 |
    Then it is accepted
    And the SMSC "two" gets a message with:
      | source_addr      | ACME        |
      | destination_addr | 33612345678 |

  Scenario: A rule changes a message, also the number that it is routed by
    Given a connector "main" to the SMSC "one"
    And a connector "france" to the SMSC "two"
    And everything is routed to "main"
    And numbers that begin with "33" are routed to "france"
    And messages are intercepted by the rule:
      """
      set("source_addr", "ACME") and set("destination_addr", "33" + destination_addr)
      """
    And a running gateway
    When a message is sent with:
      | to | 612345678 |
    Then it is accepted
    And the SMSC "two" gets a message with:
      | source_addr      | ACME        |
      | destination_addr | 33612345678 |

  Scenario: A rule refuses a message
    Given messages are intercepted by the rule:
      """
      content contains "casino" ? refuse(10, 451) : true
      """
    And a running gateway
    When a message is sent with:
      | content | the casino is open |
    Then the answer is 451 Error "Interception specific error code 451"
    When a message is sent
    Then the SMSC gets the message

  Scenario Outline: A script refuses a message
    Given messages are intercepted by the script:
      """
      <script>
      """
    And a running gateway
    When a message is sent
    Then the answer is <answer>

    Examples:
      | script                    | answer                                                                         |
      | http_status = 403         | 403 Error "Interception specific error code 403"                               |
      | smpp_status = 10          | 520 Error "Interception specific error code 520"                               |
      | raise ValueError('no')    | 400 Error "Failed running interception script, check log for details"          |

  Scenario: A script that kills its process hurts that message alone
    Given messages are intercepted by the script:
      """
      import os
      if routable.pdu.params['destination_addr'] == b'666':
          os._exit(1)
      """
    And a running gateway
    When a message is sent with:
      | to | 666 |
    Then the answer is 400 Error "Failed running interception script, check log for details"
    When a message is sent
    Then the SMSC gets the message

  Scenario: A script answers a message by itself
    Given messages are intercepted by the script:
      """
      smpp_status = 0
      extra['message_id'] = 'mine'
      """
    And a running gateway
    When a message is sent
    Then the answer is 200 Success "mine"

  Scenario: A script that changed runs when the file is loaded again
    Given messages are intercepted by the script:
      """
      http_status = 403
      """
    And a running gateway
    When messages are intercepted by the script:
      """
      pass
      """
    And the provisioning file is loaded again
    And a message is sent
    Then the SMSC gets the message
